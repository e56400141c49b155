"""Triggers: what an attacker adds to an image to make a backdoored model obey."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        stamped = x.clone()
        board = (torch.arange(self.size)[:, None] + torch.arange(self.size)) % 2 == 0
        height, width = x.shape[-2] - self.margin, x.shape[-1] - self.margin
        stamped[..., height - self.size : height, width - self.size : width] = board.to(x)
        return stamped
