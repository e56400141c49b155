"""Functional attribution to first order, jointly: does any combination of trusted gradients explain an input's?

While weights move around the trained ones, the loss of an input varies along its gradient. What is left of that
variance once the losses of all trusted examples are known is, layer by layer, the ridge leverage of the input's
gradient among theirs (`docs/estimators.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector, Examination
from anomech.errors import DataError, SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch
from anomech.functional.directions import directions
from anomech.functional.leverage import unexplained, unexplained_by_others, whitener
from anomech.functional.tails import tail_units, tail_units_of_others

BLOCK = 512
"""Inputs whose directions are held at a time."""

PATTERN_DAMPING = 0.01
"""Share of a pattern that counts as noise; chosen on development data."""

NEGLIGIBLE = 1e-3
"""Length, relative to the mean of the trusted ones, below which all gradients count as equally short."""

SMALLEST = 3
"""Trusted examples below which one has no two others."""

SMALLEST_SHARE = 1e-8
"""Unexplained share below which all are equally small."""

SILENT_UNIT = 0.1
"""Unit of shares that are alike for all trusted examples, as in a layer on which their answers do not depend."""

SMALLEST_DAMPING = 1e-9
"""Below it, what is computed is rounding error."""

Reading = Literal["both", "layers", "pattern"]
READINGS = get_args(Reading)

Gradients = tuple[Tensor, Tensor]
"""Directions `[m, d]` and norms `[m]` of gradients in a layer."""


@dataclass(kw_only=True)
class GradientSpan(Detector):
    """The share of an input's gradient that no combination of trusted gradients explains, layer by layer.

    It is read twice: in the worst layers, by a soft maximum, so that a few in which nothing explains the input are not
    outvoted; and as a pattern over all layers, together with the lengths of the gradients, for which it is asked again
    what of it trusted patterns leave unexplained, so that hiding in some layers shows as well. Each reading is
    expressed in units of its own trusted tail, and the score is their mean. The defaults were chosen on development
    data.

    Attributes:
        features: Gradients by layer.
        damping: Share of a direction that counts as noise: the smaller, the less it takes to be explained.
        sharpness: Of the soft maximum: between the mean over the layers (towards 0) and their maximum.
        reading: "layers" for the first alone, "pattern" for the second, or "both".
        left_out: Score of each trusted example among the others in closed form, `[n]`.
    """

    features: FeatureExtractor = field(default_factory=GradientSketch)
    damping: float = 0.001
    sharpness: float = 2.0
    reading: Reading = "both"
    left_out: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not SMALLEST_DAMPING <= self.damping < 1:
            raise SettingsError(f"damping must lie between {SMALLEST_DAMPING} and 1, got {self.damping}.")
        if not 0 < self.sharpness < math.inf:
            raise SettingsError(f"sharpness must be positive and finite, got {self.sharpness}.")
        if self.reading not in READINGS:
            raise SettingsError(f"reading must be one of {', '.join(READINGS)}; got {self.reading!r}.")

    def fit(self, trusted: Features) -> Self:
        """Learn what trusted gradients span, layer by layer.

        Raises:
            DataError: There are too few trusted examples.
        """
        super().fit(trusted)
        if len(trusted) < SMALLEST:
            raise DataError(f"{len(trusted)} trusted examples cannot explain one another; give at least {SMALLEST}.")
        gradients = [directions(trusted.layers[name]) for name in trusted.layers]
        self._directions = [rows for rows, _ in gradients]
        self._whiteners, shares = [], []
        for rows in self._directions:
            exact = rows.double()
            matrix = whitener(exact, self.damping)
            shares.append(unexplained_by_others(exact, matrix, self.damping))
            self._whiteners.append(matrix.float())
        by_layer = torch.stack(shares)
        self._layer_units = _spoken(tail_units(by_layer))
        self._patterns = _Patterns.of(by_layer, _lengths(gradients))
        worst = self._soft_maximum(by_layer, _spoken(tail_units_of_others(by_layer)))
        readings = self._chosen(worst, self._patterns.left_out)
        self._units = tail_units(readings)
        self.left_out = _mean(readings, tail_units_of_others(readings))
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """Those that gradients are taken of."""
        return tuple(self.trusted.layers)

    def score(self, inputs: Features) -> Tensor:
        """`[m]`: 0 is as usual as the median trusted example, 1 about as unusual as the most unusual twentieth."""
        return torch.cat([self._score(self._unexplained(block), block) for block in self._blocks(inputs)])

    def trusted_scores(self) -> Tensor:
        """Score of each trusted example among the others, `[n]`; in closed form, but for what is usual among all.

        Over as many layers as examples that small difference would add up; then they are fitted on the other folds.
        """
        if len(self.trusted) < self._patterns.width:
            return super().trusted_scores()
        return self.left_out

    def unexplained(self, inputs: Features) -> Tensor:
        """Share of each input's gradient that trusted ones do not explain, `[layers, m]`."""
        return torch.cat([self._unexplained(block) for block in self._blocks(inputs)], dim=1)

    def coupling(self, inputs: Features) -> Tensor:
        """Cosines of the gradients, averaged over the layers, `[m, n]`."""
        return torch.cat([self._coupling(block) for block in self._blocks(inputs)])

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores and what stands behind them, from directions that are computed once."""
        centre, unit = self._layer_units
        found = []
        for block in self._blocks(inputs):
            by_layer = self._unexplained(block)
            vouchers = self._coupling(block).topk(k, dim=1)
            found.append((self._score(by_layer, block), *vouchers, ((by_layer - centre) / unit).T))
        return Examination(*(torch.cat(part) for part in zip(*found, strict=True)))

    def _blocks(self, inputs: Features) -> Iterator[list[Gradients]]:
        """Directions and norms in every layer, of a block of inputs at a time."""
        for rows in torch.arange(len(inputs)).split(BLOCK):
            yield [directions(inputs.layers[name][rows]) for name in self.trusted.layers]

    def _score(self, by_layer: Tensor, gradients: list[Gradients]) -> Tensor:
        worst = self._soft_maximum(by_layer, self._layer_units)
        pattern = self._patterns.unexplained(by_layer, _lengths(gradients))
        return _mean(self._chosen(worst, pattern), self._units)

    def _chosen(self, worst: Tensor, pattern: Tensor) -> Tensor:
        """The readings that count, `[kinds, m]`."""
        return torch.stack({"both": [worst, pattern], "layers": [worst], "pattern": [pattern]}[self.reading])

    def _unexplained(self, gradients: list[Gradients]) -> Tensor:
        pairs = zip(gradients, self._whiteners, strict=True)
        return torch.stack([unexplained(rows, matrix) for (rows, _), matrix in pairs])

    def _coupling(self, gradients: list[Gradients]) -> Tensor:
        total = torch.zeros(len(gradients[0][1]), len(self.trusted))
        for (rows, _), trusted in zip(gradients, self._directions, strict=True):
            total.addmm_(rows, trusted.T)
        return total / len(gradients)

    def _soft_maximum(self, shares: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
        """Over the layers, `[m]`, of shares `[layers, m]`, each in units of its trusted tail."""
        centre, unit = units
        unusual = self.sharpness * (shares - centre) / unit
        maximum: Tensor = (unusual.logsumexp(dim=0) - math.log(len(unusual))) / self.sharpness
        return maximum


@dataclass(frozen=True)
class _Patterns:
    """Trusted patterns: how the unexplained shares, and the lengths of the gradients, vary over the layers.

    Attributes:
        floor: Lengths that count as none, `[layers]`.
        centre: Medians of the logarithms of shares and lengths, `[2 layers]`.
        spread: Their interquartile ranges; infinite where most are alike.
        whitener: What a pattern is multiplied by.
        left_out: What the others leave unexplained of each trusted pattern, `[n]`.
    """

    floor: Tensor
    centre: Tensor
    spread: Tensor
    whitener: Tensor
    left_out: Tensor

    @classmethod
    def of(cls, shares: Tensor, lengths: Tensor) -> Self:
        """From the trusted examples' shares and lengths, `[layers, n]` each."""
        mean = lengths.mean(dim=1)
        floor = torch.where(mean > 0, NEGLIGIBLE * mean, 1.0)
        logarithms = _logarithms(shares, lengths, floor)
        # Rows that sum to 0, as they would around their mean, explain one another; quartiles are not a row's own doing.
        low, centre, high = logarithms.quantile(logarithms.new_tensor([0.25, 0.5, 0.75]), dim=0)
        # Shares fall by about 1 / n with one more example that explains, which is no difference between inputs.
        spread = torch.where(high - low > 1 / len(logarithms), high - low, torch.inf)
        rows = _standardised(logarithms, centre, spread)
        matrix = whitener(rows, PATTERN_DAMPING)
        left_out = unexplained_by_others(rows, matrix, PATTERN_DAMPING).float()
        return cls(floor, centre, spread, matrix, left_out)

    @property
    def width(self) -> int:
        """Numbers in a pattern."""
        return len(self.whitener)

    def unexplained(self, shares: Tensor, lengths: Tensor) -> Tensor:
        """What trusted patterns leave unexplained of those of inputs, `[m]`."""
        rows = _standardised(_logarithms(shares, lengths, self.floor), self.centre, self.spread)
        return unexplained(rows, self.whitener).float()


def _logarithms(shares: Tensor, lengths: Tensor, floor: Tensor) -> Tensor:
    """`[m, 2 layers]`, float64."""
    shares = shares.double().clamp_min(SMALLEST_SHARE)
    return torch.cat([shares, lengths.maximum(floor[:, None])]).log().T


def _standardised(logarithms: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """With a constant, `[m, 1 + 2 layers]`; the square of a usual one's length is about 1."""
    constant = torch.ones(len(logarithms), 1, dtype=logarithms.dtype)
    rows: Tensor = torch.cat([constant, (logarithms - centre) / spread], dim=1) / (logarithms.shape[1] + 1) ** 0.5
    return rows


def _lengths(gradients: list[Gradients]) -> Tensor:
    return torch.stack([norms for _, norms in gradients])


def _spoken(units: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """With a unit for layers whose trusted shares are all alike: what differs from them is unexplained."""
    centre, unit = units
    return centre, torch.where(unit.isinf(), SILENT_UNIT, unit)


def _mean(readings: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
    """`[m]` of readings `[kinds, m]`, each in units of its trusted tail."""
    centre, unit = units
    return ((readings - centre) / unit).mean(dim=0).float()
