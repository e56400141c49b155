"""Occlusion: how far a number falls when a part of the image is hidden."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Eraser, Quantity, require_images
from anomech.explain.erasers import ImageEraser
from anomech.functional.squares import rectangles

FINER = 4
"""Smaller windows in each direction, a quarter of the larger one apart."""


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution):
    """Windows are hidden all over the image, and smaller ones where hiding one of these cost most.

    A pixel's value is what hiding the windows that cover it cost on average, summed over their sizes.

    Source: Zeiler and Fergus 2014 (arXiv 1311.2901), from coarse to fine.

    Attributes:
        eraser: What is put in the place of a window.
        grid: Windows in each direction; they overlap by half.
        levels: Sizes of windows, each half as large as the one before.
    """

    eraser: Eraser = field(default_factory=ImageEraser)
    grid: int = 6
    levels: int = 2

    def __post_init__(self) -> None:
        if self.grid < 2:
            raise SettingsError(f"grid must be at least 2, got {self.grid}.")
        if self.levels < 1:
            raise SettingsError(f"levels must be at least 1, got {self.levels}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        copies = 1 + self.grid**2 + FINER**2 * (self.levels - 1)
        return copies * quantity.passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_images(x)
        whole = quantity.values(x, answers)
        return torch.stack([self._of_one(quantity, x[i], answers[i : i + 1], whole[i]) for i in range(len(x))])

    def _of_one(self, quantity: Quantity, x: Tensor, answer: Tensor, whole: Tensor) -> Tensor:
        """Values `[height, width]` of one image `[channels, height, width]`."""
        size = x.shape[1:]
        sides = [max(1, round(2 * length / (self.grid + 1))) for length in size]
        starts = [torch.linspace(0, length - side, self.grid) for length, side in zip(size, sides, strict=True)]
        found = torch.zeros(size)
        for _ in range(self.levels):
            corners = torch.cartesian_prod(*(start.round().long() for start in starts))
            hidden = rectangles(corners, sides, size)
            copies = self.eraser.erase(x.expand(len(hidden), *x.shape), hidden)
            costs = whole - quantity.values(copies, answer.expand(len(hidden), *answer.shape[1:]))
            found += (costs[:, None, None] * hidden).sum(dim=0) / hidden.sum(dim=0).clamp_min(1)
            starts, sides = _finer(corners[int(costs.argmax())], sides, size)
        return found


def _finer(corner: Tensor, sides: list[int], size: torch.Size) -> tuple[list[Tensor], list[int]]:
    """Where windows half as large begin, in and a little around the one at that corner, and their sides."""
    halves = [max(1, side // 2) for side in sides]
    starts = [
        (start + torch.arange(FINER) * side / FINER - side / 8).clamp(0, length - half)
        for start, side, half, length in zip(corner, sides, halves, size, strict=True)
    ]
    return starts, halves
