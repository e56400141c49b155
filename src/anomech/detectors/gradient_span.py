"""Functional attribution to first order, jointly: does any combination of trusted gradients explain an input's?

While weights move around the trained ones, the loss of an input varies along its gradient. What is left of that
variance once the losses of all trusted examples are known is, layer by layer, the ridge leverage of the input's
gradient among theirs (`docs/estimators.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.errors import DataError, SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch
from anomech.functional.directions import directions
from anomech.functional.leverage import unexplained, unexplained_by_others, whitener
from anomech.functional.tails import tail_units, tail_units_of_others

BLOCK = 512
"""Inputs whose directions are held at a time."""

NEGLIGIBLE = 1e-3
"""Length, relative to the mean of the trusted ones, below which all gradients count as equally short."""

SMALLEST = 3
"""Trusted examples below which one has no two others."""

Gradients = tuple[Tensor, Tensor]
"""Directions `[m, d]` and norms `[m]` of gradients in a layer."""


@dataclass(kw_only=True)
class GradientSpan(Detector):
    """The share of an input's gradient that no combination of trusted gradients explains, in the worst layers.

    In every layer only the direction of the gradient counts; its lengths in all layers, side by side, are read like one
    more layer. Shares are expressed in units of their trusted tail, and a soft maximum is taken over the layers, so
    that a few in which nothing explains the input are not outvoted. The defaults were chosen on development data.

    Attributes:
        features: Gradients by layer.
        damping: Share of a direction that counts as noise: the smaller, the less it takes to be explained.
        sharpness: Between the mean over the layers (towards 0) and their maximum.
        left_out: Score of each trusted example among the others, `[n]`.
    """

    features: FeatureExtractor = field(default_factory=GradientSketch)
    damping: float = 0.001
    sharpness: float = 2.0
    left_out: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.damping < 1:
            raise SettingsError(f"damping must lie between 0 and 1, got {self.damping}.")
        if not 0 < self.sharpness < math.inf:
            raise SettingsError(f"sharpness must be positive and finite, got {self.sharpness}.")

    def fit(self, trusted: Features) -> Self:
        """Learn what trusted gradients span, layer by layer.

        Raises:
            DataError: There are too few trusted examples.
        """
        super().fit(trusted)
        if len(trusted) < SMALLEST:
            raise DataError(f"{len(trusted)} trusted examples cannot explain one another; give at least {SMALLEST}.")
        gradients = [directions(trusted.layers[name]) for name in trusted.layers]
        self._lengths = _Lengths.of(torch.stack([norms for _, norms in gradients], dim=1))
        self._directions = [rows for rows, _ in gradients]
        self._whiteners, shares = [], []
        for rows, present in self._rows(gradients):
            matrix = whitener(rows.double(), self.damping)
            share = unexplained_by_others(rows.double(), matrix, self.damping)
            shares.append(torch.where(present, share, 1.0).float())
            self._whiteners.append(matrix.float())
        by_layer = torch.stack(shares)
        self._units = tail_units(by_layer)
        self.left_out = self._soft_maximum(by_layer, tail_units_of_others(by_layer))
        return self

    def score(self, inputs: Features) -> Tensor:
        """`[m]`: 1 is about as unusual, in every layer, as the most unusual twentieth of the trusted examples."""
        return self._soft_maximum(self.unexplained(inputs), self._units)

    def trusted_scores(self) -> Tensor:
        """Score of each trusted example among the others, `[n]`; exact but for medians and usual lengths."""
        return self.left_out

    def unexplained(self, inputs: Features) -> Tensor:
        """Share of each input's gradient that trusted ones do not explain, `[layers + 1, m]`, the lengths last."""
        return torch.cat([self._unexplained(gradients) for gradients in self._blocks(inputs)], dim=1)

    def coupling(self, inputs: Features) -> Tensor:
        """Cosines of the gradients, averaged over the layers, `[m, n]`."""
        return torch.cat([self._coupling(gradients) for gradients in self._blocks(inputs)])

    def examine(self, inputs: Features, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scores and vouchers, from directions that are computed once."""
        found = [
            (self._soft_maximum(self._unexplained(gradients), self._units), *self._coupling(gradients).topk(k, dim=1))
            for gradients in self._blocks(inputs)
        ]
        scores, couplings, positions = (torch.cat(part) for part in zip(*found, strict=True))
        return scores, couplings, positions

    def _blocks(self, inputs: Features) -> Iterator[list[Gradients]]:
        """Directions and norms in every layer, of a block of inputs at a time."""
        for rows in torch.arange(len(inputs)).split(BLOCK):
            yield [directions(inputs.layers[name][rows]) for name in self.trusted.layers]

    def _unexplained(self, gradients: list[Gradients]) -> Tensor:
        shares = [
            torch.where(present, unexplained(rows, matrix), 1.0)
            for (rows, present), matrix in zip(self._rows(gradients), self._whiteners, strict=True)
        ]
        return torch.stack(shares)

    def _coupling(self, gradients: list[Gradients]) -> Tensor:
        cosines = (rows @ trusted.T for (rows, _), trusted in zip(gradients, self._directions, strict=True))
        return torch.as_tensor(sum(cosines)) / len(gradients)

    def _rows(self, gradients: list[Gradients]) -> Iterator[tuple[Tensor, Tensor]]:
        """What is to be explained in each layer, float32 `[m, d]`, and whether there is anything, bool `[m]`."""
        for rows, norms in gradients:
            yield rows, norms > 0
        profile = self._lengths.profile(torch.stack([norms for _, norms in gradients], dim=1))
        yield profile, torch.ones(len(profile), dtype=torch.bool)

    def _soft_maximum(self, shares: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
        """Over the layers, `[m]`, of shares `[layers, m]`, each in units of its trusted tail."""
        centre, unit = units
        unusual = self.sharpness * (shares - centre) / unit
        score: Tensor = (unusual.logsumexp(dim=0) - math.log(len(unusual))) / self.sharpness
        return score


class _Lengths(NamedTuple):
    """How long trusted gradients are in each layer, `[layers]` each."""

    floor: Tensor
    mean: Tensor
    """Of their logarithms."""
    spread: Tensor
    """Standard deviation of their logarithms; infinite where they are all alike."""

    @classmethod
    def of(cls, norms: Tensor) -> Self:
        """Of the trusted gradients' lengths `[n, layers]`."""
        mean = norms.mean(dim=0)
        floor = torch.where(mean > 0, NEGLIGIBLE * mean, 1.0)
        logarithms = norms.maximum(floor).log()
        spread = logarithms.std(dim=0)
        return cls(floor, logarithms.mean(dim=0), torch.where(spread > 0, spread, torch.inf))

    def profile(self, norms: Tensor) -> Tensor:
        """From lengths `[m, layers]` to how unusual each is, with a constant, `[m, layers + 1]`."""
        unusual = (norms.maximum(self.floor).log() - self.mean) / self.spread
        constant = torch.ones(len(norms), 1, dtype=norms.dtype)
        profile: Tensor = torch.cat([constant, unusual], dim=1) / (norms.shape[1] + 1) ** 0.5
        return profile.float()
