"""How shares of gradients that nothing explains are read over the layers, relative to trusted ones of a kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.offsets import Kin, Offsets, offsets_by
from anomech.functional.leverage import unexplained, unexplained_by_others, whitener
from anomech.functional.tails import tail_units, tail_units_of_others

PATTERN_DAMPING = 0.01
"""Share of a pattern that counts as noise; chosen on development data."""

NEGLIGIBLE = 1e-3
"""Length, relative to the mean of the trusted ones, below which all gradients count as equally short."""

SMALLEST_SHARE = 1e-8
"""Unexplained share below which all are equally small."""

SILENT_UNIT = 0.1
"""Unit of shares that are alike for all trusted examples, as in a layer on which their answers do not depend."""

Reading = Literal["both", "layers", "pattern"]
READINGS = get_args(Reading)


@dataclass(frozen=True)
class SpanReader:
    """What is usual among trusted examples of a kind, in every layer and over all layers.

    Where an input's kind is its neighbours', shares are compared as ratios: those of two kinds of prompts can be orders
    of magnitude apart.

    Attributes:
        reading: "layers" for the worst layers alone, "pattern" for the pattern over them, or "both".
        sharpness: Of the soft maximum over the layers.
        ratios: Whether logarithms of shares are compared.
        offsets: What the kind adds to a share, or to its logarithm, `layers` wide.
        layer_units: Where a share is 0 and how much makes 1, `[layers, 1]` each.
        patterns: What patterns are usual.
        units: The same for the readings, `[kinds, 1]` each.
        left_out: Score of each trusted example among the others in closed form, `[n]`.
    """

    reading: Reading
    sharpness: float
    ratios: bool
    offsets: Offsets
    layer_units: tuple[Tensor, Tensor]
    patterns: _Patterns
    units: tuple[Tensor, Tensor]
    left_out: Tensor

    @classmethod
    def of(cls, shares: Tensor, lengths: Tensor, kin: Kin, *, reading: Reading, sharpness: float) -> Self:
        """From what others leave unexplained of each trusted gradient, and its length, `[layers, n]` each."""
        ratios = kin.ndim == 2
        compared = _compared(shares, ratios)
        offsets = offsets_by(kin, compared.T)
        own = compared - offsets.left_out.T
        patterns = _Patterns.of(shares, lengths, kin)
        worst = _soft_maximum(own, _spoken(tail_units_of_others(own)), sharpness)
        readings = _chosen(reading, worst, patterns.left_out)
        left_out = _mean(readings, tail_units_of_others(readings))
        layer_units = _spoken(tail_units(own))
        return cls(reading, sharpness, ratios, offsets, layer_units, patterns, tail_units(readings), left_out)

    def by_layer(self, shares: Tensor, kin: Kin) -> Tensor:
        """How unusual shares `[layers, m]` are for the kind in each layer, `[layers, m]`."""
        centre, unit = self.layer_units
        return (self._own(shares, kin) - centre) / unit

    def score(self, shares: Tensor, lengths: Tensor, kin: Kin) -> Tensor:
        """`[m]`, of what is unexplained of inputs' gradients, and of their lengths, `[layers, m]` each."""
        worst = _soft_maximum(self._own(shares, kin), self.layer_units, self.sharpness)
        return _mean(_chosen(self.reading, worst, self.patterns.unexplained(shares, lengths, kin)), self.units)

    def _own(self, shares: Tensor, kin: Kin) -> Tensor:
        return _compared(shares, self.ratios) - self.offsets.of_inputs(kin).T


@dataclass(frozen=True)
class _Patterns:
    """Trusted patterns: how the unexplained shares, and the lengths of the gradients, vary over the layers.

    Attributes:
        floor: Lengths that count as none, `[layers]`.
        offsets: What the kind adds to the logarithms of shares and lengths, `2 layers` wide.
        centre: Medians of the logarithms of shares and lengths, `[2 layers]`.
        spread: Their interquartile ranges; infinite where most are alike.
        whitener: What a pattern is multiplied by.
        left_out: What the others leave unexplained of each trusted pattern, `[n]`.
    """

    floor: Tensor
    offsets: Offsets
    centre: Tensor
    spread: Tensor
    whitener: Tensor
    left_out: Tensor

    @classmethod
    def of(cls, shares: Tensor, lengths: Tensor, kin: Kin) -> Self:
        """From the trusted examples' shares and lengths, `[layers, n]` each, and what they are like."""
        mean = lengths.mean(dim=1)
        floor = torch.where(mean > 0, NEGLIGIBLE * mean, 1.0)
        logarithms = _logarithms(shares, lengths, floor)
        offsets = offsets_by(kin, logarithms)
        logarithms = logarithms - offsets.left_out
        # Rows that sum to 0, as they would around their mean, explain one another; quartiles are not a row's own doing.
        low, centre, high = logarithms.quantile(logarithms.new_tensor([0.25, 0.5, 0.75]), dim=0)
        # Shares fall by about 1 / n with one more example that explains, which is no difference between inputs.
        spread = torch.where(high - low > 1 / len(logarithms), high - low, torch.inf)
        rows = _standardised(logarithms, centre, spread)
        matrix = whitener(rows, PATTERN_DAMPING)
        left_out = unexplained_by_others(rows, matrix, PATTERN_DAMPING).float()
        return cls(floor, offsets, centre, spread, matrix, left_out)

    def unexplained(self, shares: Tensor, lengths: Tensor, kin: Kin) -> Tensor:
        """What trusted patterns leave unexplained of those of inputs, `[m]`."""
        own = _logarithms(shares, lengths, self.floor) - self.offsets.of_inputs(kin)
        rows = _standardised(own, self.centre, self.spread)
        return unexplained(rows, self.whitener).float()


def _compared(shares: Tensor, ratios: bool) -> Tensor:
    return shares.clamp_min(SMALLEST_SHARE).log() if ratios else shares


def _logarithms(shares: Tensor, lengths: Tensor, floor: Tensor) -> Tensor:
    """`[m, 2 layers]`, float64."""
    shares = shares.double().clamp_min(SMALLEST_SHARE)
    return torch.cat([shares, lengths.maximum(floor[:, None])]).log().T


def _standardised(logarithms: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """With a constant, `[m, 1 + 2 layers]`; the square of a usual one's length is about 1."""
    constant = torch.ones(len(logarithms), 1, dtype=logarithms.dtype)
    rows: Tensor = torch.cat([constant, (logarithms - centre) / spread], dim=1) / (logarithms.shape[1] + 1) ** 0.5
    return rows


def _spoken(units: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """With a unit for layers whose trusted shares are all alike: what differs from them is unexplained."""
    centre, unit = units
    return centre, torch.where(unit.isinf(), SILENT_UNIT, unit)


def _mean(readings: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
    """`[m]` of readings `[kinds, m]`, each in units of its trusted tail."""
    centre, unit = units
    return ((readings - centre) / unit).mean(dim=0).float()


def _chosen(reading: Reading, worst: Tensor, pattern: Tensor) -> Tensor:
    """The readings that count, `[kinds, m]`."""
    return torch.stack({"both": [worst, pattern], "layers": [worst], "pattern": [pattern]}[reading])


def _soft_maximum(shares: Tensor, units: tuple[Tensor, Tensor], sharpness: float) -> Tensor:
    """Over the layers, `[m]`, of shares `[layers, m]`, each in units of its trusted tail."""
    centre, unit = units
    unusual = sharpness * (shares - centre) / unit
    maximum: Tensor = (unusual.logsumexp(dim=0) - math.log(len(unusual))) / sharpness
    return maximum
