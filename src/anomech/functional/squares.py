"""Squares and rectangles of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def heaviest_square(weights: Tensor, side: int) -> Tensor:
    """Where the square of `side` pixels lies whose weights sum to the most, bool `[n, height, width]`.

    Args:
        weights: `[n, height, width]`, both at least `side`.
        side: Side of the square in pixels.
    """
    sums = F.avg_pool2d(weights[:, None], side, stride=1).squeeze(1)
    best = sums.flatten(1).argmax(dim=1)
    corners = torch.stack([best // sums.shape[2], best % sums.shape[2]], dim=1)
    return rectangles(corners, (side, side), weights.shape[1:])


def rectangles(corners: Tensor, sides: Sequence[int], size: torch.Size) -> Tensor:
    """Rectangles of two sides in pixels at upper left corners `[k, 2]`, bool `[k, height, width]`."""
    rows, columns = (_within(*one) for one in zip(corners.T, sides, size, strict=True))
    return rows[:, :, None] & columns[:, None, :]


def _within(start: Tensor, side: int, length: int) -> Tensor:
    """Which of `length` positions lie in the `side` ones from each start `[n]`, bool `[n, length]`."""
    distance = torch.arange(length, device=start.device) - start[:, None]
    return (distance >= 0) & (distance < side)
