"""Where the middle is of a mark of many pieces."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Quantity
from anomech.explain.erasure import Erasure
from anomech.functional.localization import density


@dataclass(frozen=True, kw_only=True)
class Middle(Attribution):
    """How near a pixel is to those that were erased before trusted examples vouched, all of them together.

    A few large steps, each of pixels all over the mark, since small ones follow one piece of it for as long as that is
    enough. The middle of a mark may be a pixel that it does not touch; the highest pixels of other maps are on it.

    Attributes:
        erasure: How pixels are erased.
        reach: Standard deviation of the Gaussian about each of them, as a share of the shorter side; of less, the
            highest pixels are where most were erased, of more, at their mean.
    """

    erasure: Erasure = field(default_factory=lambda: Erasure(rounds=4, share=0.04))
    reach: float = 0.5

    def __post_init__(self) -> None:
        if not self.reach > 0:
            raise SettingsError(f"reach must be above 0, got {self.reach:g}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return self.erasure._passes(quantity, shape)

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        return density(self.erasure._attribute(quantity, x, answers) > 0, self.reach).to(torch.float32)
