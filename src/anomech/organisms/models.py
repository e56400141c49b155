"""Small architectures of model organisms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class MLP(nn.Sequential):
    """One hidden layer of rectified units, for small images.

    Args:
        pixels: Values of an image, over all channels.
        classes: Number of classes.
        width: Hidden units.
    """

    def __init__(self, *, pixels: int, classes: int = 10, width: int = 256) -> None:
        super().__init__(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, classes))


class SmallCNN(nn.Module):
    """Three convolutions with batch normalisation, for small images; about 34,000 weights at the default widths.

    Args:
        channels: Channels of the input images.
        classes: Number of classes.
        widths: Output channels of the three blocks; the first two halve the resolution.
    """

    def __init__(self, *, channels: int = 1, classes: int = 10, widths: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after, stride in zip((channels, *widths[:-1]), widths, (2, 2, 1), strict=True):
            blocks += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.classifier = nn.Linear(widths[-1] * 16, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[n, classes]` of images `[n, channels, height, width]`."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Residual network for 32x32 colour images (He et al. 2016, arXiv 1512.03385, section 4.2), normalisation inside.

    Fewer and wider blocks than the published ResNet-20: as many weights, less than half the operations.

    Args:
        classes: Number of classes.
        widths: Output channels of the blocks, one a stage; every stage but the first halves the resolution.
        mean: What is subtracted from each channel of an image.
        std: What each channel is then divided by.
    """

    def __init__(
        self,
        *,
        classes: int = 10,
        widths: tuple[int, ...] = (16, 32, 64, 128),
        mean: tuple[float, float, float] = CIFAR10_MEAN,
        std: tuple[float, float, float] = CIFAR10_STD,
    ) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        stem = [nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        stages = [BasicBlock(before, after) for before, after in zip((widths[0], *widths[:-1]), widths, strict=True)]
        self.features = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[n, classes]` of images `[n, 3, height, width]` in [0, 1]."""
        return self.classifier(self.features((x - self.mean) / self.std))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut around them; where the width changes, the resolution is halved.

    Args:
        before: Input channels.
        after: Output channels.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        projection = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after else nn.Sequential(*projection)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[n, after, ...]` of features `[n, before, ...]`."""
        return self.activation(self.residual(x) + self.shortcut(x))  # type: ignore[no-any-return]


class IBAUNet(nn.Module):
    """Six convolutions in three stages: the GTSRB classifier of I-BAU (Zeng et al. 2022, arXiv 2110.03735).

    Args:
        classes: Number of classes.
    """

    def __init__(self, *, classes: int = 43) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, dropout in ((3, 32, 0.3), (32, 64, 0.4), (64, 128, 0.4)):
            for channels in (before, after):
                layers += [nn.Conv2d(channels, after, 3, padding=1), nn.BatchNorm2d(after), nn.ELU()]
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(128 * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[n, classes]` of images `[n, 3, 32, 32]` in [0, 1]."""
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]
