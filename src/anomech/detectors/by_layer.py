"""A detector of single vectors, taken to every layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector, Examination
from anomech.detectors.mahalanobis import Mahalanobis
from anomech.errors import SettingsError
from anomech.features import FeatureExtractor, Features, ResidualStream
from anomech.functional.tails import tail_units

Aggregate = Literal["mean", "max"]


@dataclass(kw_only=True)
class ByLayer(Detector):
    """One copy of a detector a layer: the mean or the largest of their scores, each in units of its trusted tail.

    Attributes:
        member: What scores a layer.
        features: One vector an input and layer.
        aggregate: "mean" or "max".
    """

    member: Detector = field(default_factory=Mahalanobis)
    features: FeatureExtractor = field(default_factory=ResidualStream)
    aggregate: Aggregate = "mean"

    def __post_init__(self) -> None:
        if self.aggregate not in get_args(Aggregate):
            raise SettingsError(f'aggregate must be "mean" or "max", got {self.aggregate!r}.')

    def fit(self, trusted: Features) -> Self:
        """Fit every layer."""
        super().fit(trusted)
        self._members = {name: replace(self.member).fit(_of(trusted, name)) for name in trusted.layers}
        self._left_out = torch.stack([member.trusted_scores() for member in self._members.values()])
        self._units = tail_units(self._left_out)
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the features."""
        return tuple(self._members)

    def score(self, inputs: Features) -> Tensor:
        """`[m]`; a layer counts 1 where it is as unusual as the most unusual twentieth of trusted examples."""
        return self._aggregated(self._by_layer(inputs))

    def trusted_scores(self) -> Tensor:
        """`[n]`, from those of every layer."""
        centre, unit = self._units
        return self._aggregated((self._left_out - centre) / unit)

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores and what stands behind them."""
        by_layer = self._by_layer(inputs)
        return Examination(self._aggregated(by_layer), *self.vouchers(inputs, k), by_layer.T)

    def _by_layer(self, inputs: Features) -> Tensor:
        centre, unit = self._units
        scores = torch.stack([member.score(_of(inputs, name)) for name, member in self._members.items()])
        return (scores - centre) / unit

    def _aggregated(self, by_layer: Tensor) -> Tensor:
        return by_layer.mean(dim=0) if self.aggregate == "mean" else by_layer.amax(dim=0)


def _of(features: Features, layer: str) -> Features:
    return Features({layer: features.layers[layer]}, features.predictions)
