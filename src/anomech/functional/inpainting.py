"""Filling holes of images in from what surrounds them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GREY = 0.5
"""What an image is filled with of which nothing is left."""


def inpaint(x: Tensor, hidden: Tensor) -> Tensor:
    """Images whose hidden pixels continue what surrounds them smoothly.

    Averages of the known pixels are taken at half the resolution again and again, until there are some everywhere, and
    go back into the holes from coarse to fine (pull-push, Gortler et al. 1996).

    Args:
        x: Images `[n, channels, height, width]`.
        hidden: bool `[n, height, width]`; nothing of what is hidden is used.
    """
    known = (~hidden)[:, None].to(x)
    return torch.where(hidden[:, None], _filled(x * known, known), x)


def _filled(sums: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums over their weights, and where there are none, what a coarser image has there."""
    means = sums / weights.clamp_min(torch.finfo(weights.dtype).tiny)
    if bool((weights > 0).all()):
        return means
    if sums.shape[-2:].numel() == 1:
        return torch.where(weights > 0, means, GREY)
    coarse = _filled(*(F.avg_pool2d(values, 2, ceil_mode=True) for values in (sums, weights)))
    size = [2 * side for side in coarse.shape[-2:]]
    finer = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
    return torch.where(weights > 0, means, finer[..., : sums.shape[-2], : sums.shape[-1]])
