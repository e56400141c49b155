"""What an attribution has to be better than."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.explain.attribution import Attribution, Quantity, require_places


@dataclass(frozen=True, kw_only=True)
class RandomPlaces(Attribution):
    """Values that say nothing of the input: each has its own, whatever else is in the batch.

    Were they the same for all, triggers that are always at one place would be found in all inputs or in none.

    Attributes:
        seed: Of the values.
    """

    seed: int = 0

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return 0

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_places(x)
        return torch.stack([torch.rand(x.shape[2:], generator=self._generator(one)) for one in x])

    def _generator(self, one: Tensor) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}".encode() + one.cpu().numpy().tobytes()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
