"""Random changes to training images that keep their class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def flip_and_crop(x: Tensor, *, padding: int = 4, generator: torch.Generator) -> Tensor:
    """Each image is mirrored with probability 1/2 and shifted by up to `padding` pixels; what comes in is black.

    Args:
        x: Images `[n, channels, height, width]`.
        padding: Largest shift in each direction.
        generator: Source of randomness.

    Returns:
        Images of the same shape, in channels-last layout.
    """
    n, _, height, width = x.shape
    shift = torch.randint(2 * padding + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    rows = shift[0] + torch.arange(height)
    columns = shift[1] + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(x, (padding,) * 4)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
