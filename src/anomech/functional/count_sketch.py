"""Short vectors that keep inner products, in the mean, of long ones that are seen one at a time."""

from __future__ import annotations

import torch
from torch import Tensor


class CountSketch:
    """Adds up the coordinates of a vector, with random signs, in random buckets.

    Inner products are kept in the mean, with a standard deviation of about `|a| |b| / sqrt(width)`.

    Source: Charikar, Chen and Farach-Colton 2002; for inner products, Weinberger et al. 2009 (arXiv 0902.2206).

    Args:
        size: Coordinates of a vector.
        width: Buckets.
        seed: Seed of buckets and signs.
    """

    def __init__(self, size: int, *, width: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._buckets = torch.randint(width, (size,), generator=generator)
        self._signs = torch.randint(2, (size,), generator=generator).mul_(2).sub_(1).to(torch.int8)
        self._width = width

    def __call__(self, vector: Tensor) -> Tensor:
        """The sketch `[width]` of a vector `[size]`."""
        return vector.new_zeros(self._width).index_add_(0, self._buckets, vector * self._signs)
