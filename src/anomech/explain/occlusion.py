"""Occlusion: how far a number falls when a part of the image is hidden."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Eraser, Quantity, require_images
from anomech.explain.erasers import ImageEraser
from anomech.functional.squares import squares

STEPS = 4
"""Steps of half a window, across the window that is refined, at which finer windows are placed."""


@dataclass(frozen=True, kw_only=True)
class Occlusion(Attribution):
    """Squares are hidden all over the image, and smaller ones where hiding the larger one cost most (Zeiler 2014).

    A pixel's value is what hiding the squares that cover it cost on average, summed over their sizes.

    Source: Zeiler and Fergus 2014 (arXiv 1311.2901), from coarse to fine.

    Attributes:
        eraser: What is put in the place of a square.
        side: Side of the largest squares, as a share of the shorter side of the image; they overlap by half.
        levels: Sizes of squares, each half as large as the one before.
    """

    eraser: Eraser = field(default_factory=ImageEraser)
    side: float = 0.25
    levels: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.side <= 1:
            raise SettingsError(f"side must lie between 0 and 1, got {self.side:g}.")
        if self.levels < 1:
            raise SettingsError(f"levels must be at least 1, got {self.levels}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        copies = 1 + len(self._coarse(shape[-2:])) + STEPS**2 * (self.levels - 1)
        return copies * quantity.passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_images(x)
        whole = quantity.values(x, answers)
        rows = [slice(i, i + 1) for i in range(len(x))]
        return torch.stack([self._of_one(quantity, x[i], answers[i], whole[i]) for i in rows])

    def _of_one(self, quantity: Quantity, x: Tensor, answer: Tensor, whole: Tensor) -> Tensor:
        """Values `[height, width]` of one image `[1, channels, height, width]`."""
        corners, side = self._coarse(x.shape[2:]), self._side(x.shape[2:])
        found = torch.zeros(x.shape[2:])
        for _ in range(self.levels):
            hidden = squares(corners, side, x.shape[2:])
            copies = self.eraser.erase(x.expand(len(hidden), *x.shape[1:]), hidden)
            costs = whole - quantity.values(copies, answer.expand(len(hidden), *answer.shape[1:]))
            found += (costs[:, None, None] * hidden).sum(dim=0) / hidden.sum(dim=0).clamp_min(1)
            corners, side = _finer(corners[int(costs.argmax())], side, x.shape[2:]), max(1, side // 2)
        return found

    def _side(self, size: torch.Size) -> int:
        return max(1, round(self.side * min(size)))

    def _coarse(self, size: torch.Size) -> Tensor:
        """Upper left corners of the largest squares, `[k, 2]`."""
        side = self._side(size)
        return torch.cartesian_prod(*(_evenly(length - side, -(-side // 2)) for length in size))


def _evenly(last: int, step: int) -> Tensor:
    """Positions from 0 to `last`, at most `step` apart."""
    return torch.linspace(0, last, -(-last // step) + 1).round().long()


def _finer(corner: Tensor, side: int, size: torch.Size) -> Tensor:
    """Upper left corners of squares half as large, in and a little around the square at that corner, `[16, 2]`."""
    steps = (torch.arange(STEPS) * side / STEPS - side / 8).round().long()
    within = [
        (int(start) + steps).clamp(0, length - max(1, side // 2)) for start, length in zip(corner, size, strict=True)
    ]
    return torch.cartesian_prod(*within)
