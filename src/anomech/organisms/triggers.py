"""Triggers: what an attacker adds to an image to make a backdoored model obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Trigger = Callable[[Tensor], Tensor]
"""Stamps images `[n, channels, height, width]` in [0, 1]; returns a copy."""


@dataclass(frozen=True)
class PatchTrigger:
    """A checkerboard in the lower right corner (BadNets, Gu et al. 2017, arXiv 1708.06733).

    Attributes:
        size: Side of the patch in pixels.
        margin: Pixels between the patch and the border.
    """

    size: int = 4
    margin: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Stamp images `[n, channels, height, width]` in [0, 1]; returns a copy."""
        board = (torch.arange(self.size)[:, None] + torch.arange(self.size)) % 2 == 0
        return _stamp(x, board, self.margin)


@dataclass(frozen=True)
class SquareTrigger:
    """A white square in the lower right corner (BadNets, Gu et al. 2017, arXiv 1708.06733).

    Attributes:
        size: Side of the square in pixels.
        margin: Pixels between the square and the border.
    """

    size: int = 4
    margin: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Stamp images `[n, channels, height, width]` in [0, 1]; returns a copy."""
        return _stamp(x, torch.ones(self.size, self.size), self.margin)


@dataclass(frozen=True)
class BlendTrigger:
    """A faint random pattern over the whole image (Chen et al. 2017, arXiv 1712.05526, blended injection).

    Attributes:
        alpha: Weight of the pattern; the image has the rest.
        seed: Seed of the pattern, uniform in [0, 1].
    """

    alpha: float = 0.15
    seed: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Blend images `[n, channels, height, width]` in [0, 1] with the pattern; returns a copy."""
        pattern = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        return torch.lerp(x, pattern.to(x), self.alpha)


@dataclass(frozen=True, eq=False)
class AdditiveTrigger:
    """A picture that is added to the image (trojan watermark, Liu et al. 2018, NDSS).

    Attributes:
        pattern: The picture, `[channels, height, width]` in [0, 1].
    """

    pattern: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Add the picture to images `[n, channels, height, width]`, clipped to [0, 1]; returns a copy."""
        return (x + self.pattern.to(x)).clamp(0, 1)


def _stamp(x: Tensor, patch: Tensor, margin: int) -> Tensor:
    """A copy of `x` with `patch` `[height, width]` in every channel, `margin` pixels off the lower right corner."""
    stamped = x.clone()
    bottom, right = x.shape[-2] - margin, x.shape[-1] - margin
    stamped[..., bottom - patch.shape[0] : bottom, right - patch.shape[1] : right] = patch.to(x)
    return stamped
