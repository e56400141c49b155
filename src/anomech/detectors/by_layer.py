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
from anomech.functional.combination import harmonic_mean_p, left_out_smooth_p_values, smooth_p_values
from anomech.functional.tails import tail_units

Aggregate = Literal["mean", "max", "combined"]


@dataclass(kw_only=True)
class ByLayer(Detector):
    """One copy of a detector a layer, and one score of what they say.

    Attributes:
        member: What scores a layer; if it is offline, so is this.
        features: One vector an input and layer.
        aggregate: "mean" or "max" of the scores, each in units of its trusted tail; or "combined", minus the logarithm
            of the harmonic mean of their p-values (Wilson 2019, doi 10.1073/pnas.1814092116), as `Ensemble` has it.
    """

    member: Detector = field(default_factory=Mahalanobis)
    features: FeatureExtractor = field(default_factory=ResidualStream)
    aggregate: Aggregate = "mean"

    def __post_init__(self) -> None:
        if self.aggregate not in get_args(Aggregate):
            raise SettingsError(f'aggregate must be "mean", "max" or "combined", got {self.aggregate!r}.')

    @property
    def offline(self) -> bool:
        """As the detector of single layers is."""
        return self.member.offline

    def fit(self, trusted: Features) -> Self:
        """Fit every layer."""
        super().fit(trusted)
        self._members = {name: replace(self.member).fit(trusted.of_layers([name])) for name in trusted.layers}
        self._left_out = torch.stack([member.trusted_scores() for member in self._members.values()])
        self._units = tail_units(self._left_out)
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the features."""
        return tuple(self._members)

    def score(self, inputs: Features) -> Tensor:
        """`[m]`."""
        return self._aggregated(self._scores(inputs))

    def trusted_scores(self) -> Tensor:
        """`[n]`, from those of every layer."""
        if self.aggregate == "combined":
            return _combined(torch.stack([left_out_smooth_p_values(scores) for scores in self._left_out]))
        return self._aggregated(self._left_out)

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores and what stands behind them."""
        scores = self._scores(inputs)
        return Examination(self._aggregated(scores), *self.vouchers(inputs, k), self._in_units(scores).T)

    def _scores(self, inputs: Features) -> Tensor:
        """Of every layer, `[layers, m]`."""
        return torch.stack([member.score(inputs.of_layers([name])) for name, member in self._members.items()])

    def _in_units(self, scores: Tensor) -> Tensor:
        """1 where a layer is as unusual as the most unusual twentieth of trusted examples."""
        centre, unit = self._units
        return (scores - centre) / unit

    def _aggregated(self, scores: Tensor) -> Tensor:
        match self.aggregate:
            case "mean":
                return self._in_units(scores).mean(dim=0)
            case "max":
                return self._in_units(scores).amax(dim=0)
            case "combined":
                pairs = zip(self._left_out, scores, strict=True)
                return _combined(torch.stack([smooth_p_values(trusted, found) for trusted, found in pairs]))


def _combined(p: Tensor) -> Tensor:
    return -harmonic_mean_p(p).log().float()
