"""Functional attribution: an input is anomalous when no trusted example is coupled to it.

Source: arXiv 2604.18970.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector, Examination
from anomech.errors import SettingsError
from anomech.features import Features
from anomech.functional.couplings import (
    class_level_coupling,
    is_rare,
    mean_coupling,
    nearest_coupling,
    nearest_own_class_coupling,
    own_class_coupling,
)

Pooling = Literal["mean", "class-level", "own-class", "nearest", "nearest-own-class"]
POOLINGS = get_args(Pooling)

PAIRS = 2**23
"""Pairs of an input and a trusted example that are held at a time."""


@dataclass(kw_only=True)
class Coupling(Detector):
    """The pooled coupling of an input to the trusted examples, its sign turned.

    Attributes:
        pooling: Over all trusted examples ("mean"), the best class ("class-level", the paper's CLC), those that the
            model puts in the input's own class ("own-class"), the k closest ("nearest"), or the k closest of the own
            class unless that is rare among them ("nearest-own-class").
        k: Trusted examples that the nearest poolings look at.
    """

    pooling: Pooling = "nearest-own-class"
    k: int = 5

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise SettingsError(f"pooling must be one of {', '.join(POOLINGS)}; got {self.pooling!r}.")
        if self.k < 1:
            raise SettingsError(f"k must be at least 1, got {self.k}.")

    @abstractmethod
    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Pooled coupling `[m]` of inputs, and their coupling `[m, n]` to each trusted example."""

    @abstractmethod
    def coupling_left_out(self, rows: Tensor) -> Tensor:
        """Coupling `[m, n]` of the trusted examples at these positions to all others; that to itself has no meaning."""

    def pooled_left_out(self, rows: Tensor) -> Tensor:
        """Pooled coupling `[m]` of the trusted examples at these positions, each to all the others."""
        return self.pool(self.coupling_left_out(rows), self.trusted.predictions[rows], self.others(rows))

    def score(self, inputs: Features) -> Tensor:
        """`[m]`: minus the pooled coupling."""
        return -torch.cat([self.read(block)[0] for block in self._blocks(inputs)])

    def trusted_scores(self) -> Tensor:
        """Score of each trusted example against all the others, `[n]`."""
        return -torch.cat([self.pooled_left_out(rows) for rows in self.row_blocks(len(self.trusted))])

    def coupling(self, inputs: Features) -> Tensor:
        """`[m, n]`."""
        return torch.cat([self.read(block)[1] for block in self._blocks(inputs)])

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores and vouchers, from couplings that are computed once."""
        found = []
        for block in self._blocks(inputs):
            pooled, coupling = self.read(block)
            found.append((-pooled, *self._strongest(coupling, block.predictions, k)))
        scores, couplings, positions = (torch.cat(part) for part in zip(*found, strict=True))
        return Examination(scores, couplings, positions, torch.empty(len(inputs), 0))

    def vouchers(self, inputs: Features, k: int) -> tuple[Tensor, Tensor]:
        """As the score reads them: where the pooling looks at the own class, its examples come first."""
        _, couplings, positions, _ = self.examine(inputs, k)
        return couplings, positions

    def pool(self, coupling: Tensor, classes: Tensor, mask: Tensor | None = None) -> Tensor:
        """One number `[m]` from couplings `[m, n]` of inputs of these classes `[m]`, of the pairs that count."""
        trusted_classes = self.trusted.predictions
        match self.pooling:
            case "mean":
                return mean_coupling(coupling, mask)
            case "class-level":
                return class_level_coupling(coupling, trusted_classes, mask)
            case "own-class":
                return own_class_coupling(coupling, classes, trusted_classes, mask)
            case "nearest":
                return nearest_coupling(coupling, self.k, mask)
            case "nearest-own-class":
                return nearest_own_class_coupling(coupling, classes, trusted_classes, self.k, mask)

    def others(self, rows: Tensor) -> Tensor:
        """Which trusted examples are not the one at each of these positions, bool `[m, n]`."""
        return rows[:, None] != torch.arange(len(self.trusted))

    def row_blocks(self, m: int) -> Iterator[Tensor]:
        """Positions of m rows, in blocks whose couplings to all trusted examples fit in memory."""
        yield from torch.arange(m).split(max(1, PAIRS // len(self.trusted)))

    def _blocks(self, inputs: Features) -> Iterator[Features]:
        return (inputs[rows] for rows in self.row_blocks(len(inputs)))

    def _strongest(self, coupling: Tensor, classes: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Couplings and positions `[m, k]` of the trusted examples that speak most for each input."""
        own = classes[:, None] == self.trusted.predictions
        match self.pooling:
            case "own-class":
                first = own
            case "nearest-own-class":
                first = own & ~is_rare(own, self.k)[:, None]
            case _:
                return coupling.topk(k, dim=1)
        # Couplings lie in [-1, 1]: 3 lifts the first above all others and keeps their order.
        positions = (coupling.double() + 3.0 * first).topk(k, dim=1).indices
        return coupling.gather(1, positions), positions
