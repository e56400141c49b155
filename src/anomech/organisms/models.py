"""Small architectures that model organisms are trained with."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three convolutions with batch normalisation, for small images; about 60,000 weights at the default widths.

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
