"""Functional attribution to first order, jointly: does any combination of trusted gradients explain an input's?

While weights move around the trained ones, the loss of an input varies along its gradient. What is left of that
variance once the losses of all trusted examples are known is, layer by layer, the ridge leverage of the input's
gradient among theirs (`docs/estimators.md`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from anomech.detectors.base import Detector, Examination, folds
from anomech.detectors.offsets import Kin, nearest, nearest_others
from anomech.detectors.span_reader import READINGS, Reading, SpanReader
from anomech.errors import DataError, SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch
from anomech.functional.directions import directions
from anomech.functional.leverage import unexplained, unexplained_by_others, unexplained_without, whitener

BLOCK = 512
"""Inputs whose directions are held at a time."""

SMALLEST = 3
"""Trusted examples below which one has no two others."""

SMALLEST_DAMPING = 1e-9
"""Below it, what is computed is rounding error."""

Gradients = tuple[Tensor, Tensor]
"""Directions `[m, d]` and norms `[m]` of gradients in a layer."""


@dataclass(kw_only=True)
class GradientSpan(Detector):
    """The share of an input's gradient that no combination of trusted gradients explains, layer by layer.

    Some kinds of inputs are explained better than others: a share is taken relative to what is usual for the predicted
    class, as far as there are trusted examples of it. Where there is but one class, as for a language model, it is
    taken relative to the trusted examples that the input is most strongly coupled to.

    It is read twice: in the worst layers, by a soft maximum, so that a few in which nothing explains the input are not
    outvoted; and as a pattern over all layers, together with the lengths of the gradients, for which it is asked again
    what of it trusted patterns leave unexplained, so that hiding in some layers shows as well. Each reading is in units
    of its own trusted tail, and the score is their mean. The defaults were chosen on development data.

    Attributes:
        features: Gradients by layer.
        damping: Share of a direction that counts as noise: the smaller, the less it takes to be explained.
        sharpness: Of the soft maximum: between the mean over the layers (towards 0) and their maximum.
        reading: "layers" for the first alone, "pattern" for the second, or "both".
        left_out: Score of each trusted example among the others, `[n]`.
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
        lengths = _lengths(gradients)
        self._directions = [rows for rows, _ in gradients]
        exact = [whitener(rows.double(), self.damping) for rows in self._directions]
        self._whiteners = [matrix.float() for matrix in exact]
        self._one_class = len(trusted.predictions.unique()) == 1
        coupling = self._coupling(gradients) if self._one_class else None
        kin = trusted.predictions if coupling is None else nearest_others(coupling)
        self._reader = self._read(self._of_others(exact), lengths, kin)
        few = len(trusted) <= 2 * len(gradients)
        self.left_out = self._of_other_folds(exact, lengths, coupling) if few else self._reader.left_out
        return self

    @property
    def layers(self) -> tuple[str, ...]:
        """Those that gradients are taken of."""
        return tuple(self.trusted.layers)

    def score(self, inputs: Features) -> Tensor:
        """`[m]`: 0 is as usual as the median trusted example, 1 about as unusual as the most unusual twentieth."""
        return torch.cat([self._score(block, classes) for block, classes in self._blocks(inputs)])

    def trusted_scores(self) -> Tensor:
        """Score of each trusted example among the others, `[n]`."""
        return self.left_out

    def unexplained(self, inputs: Features) -> Tensor:
        """Share of each input's gradient that trusted ones do not explain, `[layers, m]`."""
        return torch.cat([self._unexplained(block) for block, _ in self._blocks(inputs)], dim=1)

    def coupling(self, inputs: Features) -> Tensor:
        """Cosines of the gradients, averaged over the layers, `[m, n]`."""
        return torch.cat([self._coupling(block) for block, _ in self._blocks(inputs)])

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores and what stands behind them, from directions that are computed once."""
        found = []
        for block, classes in self._blocks(inputs):
            shares, coupling = self._unexplained(block), self._coupling(block)
            kin = nearest(coupling) if self._one_class else classes
            scores = self._reader.score(shares, _lengths(block), kin)
            found.append((scores, *coupling.topk(k, dim=1), self._reader.by_layer(shares, kin).T))
        return Examination(*(torch.cat(part) for part in zip(*found, strict=True)))

    def _blocks(self, inputs: Features) -> Iterator[tuple[list[Gradients], Tensor]]:
        """Directions and norms in every layer, and the classes, of a block of inputs at a time."""
        for rows in torch.arange(len(inputs)).split(BLOCK):
            gradients = [directions(inputs.layers[name][rows]) for name in self.trusted.layers]
            yield gradients, inputs.predictions[rows]

    def _score(self, gradients: list[Gradients], classes: Tensor) -> Tensor:
        with torch.no_grad():
            kin = nearest(self._coupling(gradients)) if self._one_class else classes
        return self._reader.score(self._unexplained(gradients), _lengths(gradients), kin)

    def _read(self, shares: Tensor, lengths: Tensor, kin: Kin) -> SpanReader:
        return SpanReader.of(shares, lengths, kin, reading=self.reading, sharpness=self.sharpness)

    def _of_others(self, whiteners: list[Tensor]) -> Tensor:
        """Share of each trusted gradient that the others leave unexplained, `[layers, n]`."""
        pairs = zip(self._directions, whiteners, strict=True)
        return torch.stack([unexplained_by_others(rows.double(), matrix, self.damping) for rows, matrix in pairs])

    def _of_other_folds(self, whiteners: list[Tensor], lengths: Tensor, coupling: Tensor | None) -> Tensor:
        """Scores `[n]` of trusted examples by a reader of the other folds, as if their own had not been there.

        In closed form, what is usual would still be what is among all: a small difference, which adds up over as many
        layers as examples.
        """
        classes = self.trusted.predictions
        parts = list(folds(classes))
        pairs = zip(self._directions, whiteners, strict=True)
        without = torch.stack(
            [
                unexplained_without(rows.double(), matrix, self.damping, [held_out for held_out, _ in parts])
                for rows, matrix in pairs
            ]
        )
        scores = torch.empty(len(self.trusted))
        for i, (held_out, others) in enumerate(parts):
            of_others, of_held_out = classes[others], classes[held_out]
            if coupling is not None:
                of_others, of_held_out = (
                    nearest_others(coupling[others][:, others]),
                    nearest(coupling[held_out][:, others]),
                )
            reader = self._read(without[:, i, others], lengths[:, others], of_others)
            scores[held_out] = reader.score(without[:, i, held_out], lengths[:, held_out], of_held_out)
        return scores

    def _unexplained(self, gradients: list[Gradients]) -> Tensor:
        pairs = zip(gradients, self._whiteners, strict=True)
        return torch.stack([unexplained(rows, matrix) for (rows, _), matrix in pairs])

    def _coupling(self, gradients: list[Gradients]) -> Tensor:
        total = torch.zeros(len(gradients[0][1]), len(self.trusted))
        for (rows, _), trusted in zip(gradients, self._directions, strict=True):
            total.addmm_(rows, trusted.T)
        return total / len(gradients)


def _lengths(gradients: list[Gradients]) -> Tensor:
    return torch.stack([norms for _, norms in gradients])
