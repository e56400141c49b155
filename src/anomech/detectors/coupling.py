"""Functional attribution: an input is anomalous when no trusted example is coupled to it.

Source: arXiv 2604.18970.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.errors import SettingsError
from anomech.features import FeatureExtractor, Features, LossTraces
from anomech.functional.couplings import (
    class_level_coupling,
    concordance,
    is_rare,
    mean_coupling,
    nearest_coupling,
    nearest_own_class_coupling,
    own_class_coupling,
    pearson,
)

Measure = Literal["pearson", "concordance"]
Pooling = Literal["mean", "class-level", "own-class", "nearest", "nearest-own-class"]

MEASURES = {"pearson": pearson, "concordance": concordance}
POOLINGS = get_args(Pooling)


@dataclass(kw_only=True)
class Coupling(Detector):
    """The pooled coupling of an input to the trusted examples, its sign turned.

    Attributes:
        features: Loss traces, or any features whose similarity means a shared mechanism.
        measure: "pearson", or "concordance", which also sees a difference in scale.
        pooling: Over all trusted examples ("mean"), the best class ("class-level", the paper's CLC), those that the
            model puts in the input's own class ("own-class"), the k closest ("nearest"), or the k closest of the own
            class unless that is rare among them ("nearest-own-class").
        k: Trusted examples that the nearest poolings look at.
    """

    features: FeatureExtractor = field(default_factory=LossTraces)
    measure: Measure = "concordance"
    pooling: Pooling = "nearest-own-class"
    k: int = 5

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise SettingsError(f"measure must be one of {', '.join(MEASURES)}; got {self.measure!r}.")
        if self.pooling not in POOLINGS:
            raise SettingsError(f"pooling must be one of {', '.join(POOLINGS)}; got {self.pooling!r}.")
        if self.k < 1:
            raise SettingsError(f"k must be at least 1, got {self.k}.")

    def score(self, inputs: Features) -> Tensor:
        """`[m]`, in [-1, 1]."""
        return -self._pool(self.coupling(inputs), inputs.predictions, None)

    def trusted_scores(self) -> Tensor:
        """Score of each trusted example against all the others, `[n]`."""
        others = ~torch.eye(len(self.trusted), dtype=torch.bool)
        return -self._pool(self.coupling(self.trusted), self.trusted.predictions, others)

    def coupling(self, inputs: Features) -> Tensor:
        """`[m, n]`."""
        return MEASURES[self.measure](inputs.only_layer, self.trusted.only_layer)

    def vouchers(self, inputs: Features, k: int) -> tuple[Tensor, Tensor]:
        """As the score reads them: where the pooling looks at the own class, its examples come first."""
        coupling = self.coupling(inputs)
        own = inputs.predictions[:, None] == self.trusted.predictions
        match self.pooling:
            case "own-class":
                first = own
            case "nearest-own-class":
                first = own & ~is_rare(own, self.k)[:, None]
            case _:
                first = torch.zeros_like(own)
        # Couplings lie in [-1, 1]: 3 lifts the first above all others and keeps their order.
        positions = (coupling.double() + 3.0 * first).topk(k, dim=1).indices
        return coupling.gather(1, positions), positions

    def _pool(self, coupling: Tensor, classes: Tensor, mask: Tensor | None) -> Tensor:
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
