"""RISE: how high a number is on copies of an image of which random parts are hidden."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Eraser, Quantity, require_images
from anomech.explain.erasers import ImageEraser


@dataclass(frozen=True, kw_only=True)
class RISE(Attribution):
    """A pixel's value is the mean number of the copies that show it, less that of those that do not.

    The copies are the same for every image. Parts are hidden entirely, by random coarse grids of a random shift, where
    the published method darkens smoothly.

    Source: Petsiuk et al. 2018 (arXiv 1806.07421).

    Attributes:
        eraser: What is put in the place of what is hidden.
        copies: Of an image.
        grid: Cells of the coarse grid on each side.
        shown: Share of the cells that is shown.
        seed: Of the grids.
    """

    eraser: Eraser = field(default_factory=ImageEraser)
    copies: int = 65
    grid: int = 7
    shown: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 2 or self.grid < 2:
            raise SettingsError(f"copies and grid must be at least 2, got {self.copies} and {self.grid}.")
        if not 0 < self.shown < 1:
            raise SettingsError(f"shown must lie between 0 and 1, got {self.shown:g}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return self.copies * quantity.passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_images(x)
        hidden = self._hidden(x.shape[2:])
        return torch.stack([self._of_one(quantity, x[i], answers[i : i + 1], hidden) for i in range(len(x))])

    def _of_one(self, quantity: Quantity, x: Tensor, answer: Tensor, hidden: Tensor) -> Tensor:
        copies = self.eraser.erase(x.expand(len(hidden), *x.shape), hidden)
        values = quantity.values(copies, answer.expand(len(hidden), *answer.shape[1:]))
        return _mean_over(values, ~hidden) - _mean_over(values, hidden)

    def _hidden(self, size: torch.Size) -> Tensor:
        """Bool `[copies, height, width]`."""
        generator = torch.Generator().manual_seed(self.seed)
        coarse = (torch.rand(self.copies, 1, self.grid + 1, self.grid + 1, generator=generator) >= self.shown).float()
        cells = [-(-side // self.grid) for side in size]
        fine = F.interpolate(coarse, [(self.grid + 1) * cell for cell in cells])[:, 0].bool()
        shifts = [torch.randint(cell, (self.copies,), generator=generator).tolist() for cell in cells]
        return torch.stack(
            [
                mask[down : down + size[0], right : right + size[1]]
                for mask, down, right in zip(fine, *shifts, strict=True)
            ]
        )


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of values `[k]` over those of k masks `[k, height, width]` that hold a pixel."""
    return (values[:, None, None] * chosen).sum(dim=0) / chosen.sum(dim=0).clamp_min(1)
