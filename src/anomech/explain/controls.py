"""What an attribution has to be better than."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.explain.attribution import Attribution, Quantity, require_places


@dataclass(frozen=True, kw_only=True)
class RandomPlaces(Attribution):
    """Values that have nothing to do with the input, the same for all.

    Attributes:
        seed: Of the values.
    """

    seed: int = 0

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return 0

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_places(x)
        return torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(self.seed)).expand(len(x), *x.shape[2:])
