"""Functional attribution to first order: coupled inputs pull the weights in the same directions.

The covariance of two loss traces around the trained weights is, to first order, an inner product of per-sample
gradients (arXiv 2604.18970; arXiv 2509.26544). `docs/estimators.md` says how the readings below were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.coupling import Coupling, Pooling
from anomech.errors import SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch
from anomech.functional.directions import centred_cosine, centred_cosine_left_out, cosine, scale_agreement

GradientMeasure = Literal["cosine", "identity"]
Balance = Literal["whole", "mean", "pooled", "standardised"]


@dataclass(kw_only=True)
class GradientCoupling(Coupling):
    """Coupling of per-sample gradients, balanced over the layers so that none rules it.

    Attributes:
        features: Gradients by layer.
        measure: "cosine", or "identity" (Zegers and ten Berge 1985), which also sees a difference in scale.
        centred: Take the mean direction of the trusted gradients from all of them, layer by layer.
        balance: "whole" joins the layers to one vector; "mean" averages their couplings, then pools; "pooled" pools
            within each layer, then averages; "standardised" averages what the pooled coupling of each layer is in
            standard deviations of the trusted examples.
    """

    features: FeatureExtractor = field(default_factory=GradientSketch)
    pooling: Pooling = "nearest"
    measure: GradientMeasure = "identity"
    centred: bool = True
    balance: Balance = "standardised"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kinds in (("measure", get_args(GradientMeasure)), ("balance", get_args(Balance))):
            if getattr(self, name) not in kinds:
                raise SettingsError(f"{name} must be one of {', '.join(kinds)}; got {getattr(self, name)!r}.")
        if self.centred and self.pooling == "mean":
            raise SettingsError("centred couplings have a mean of about 0; with pooling mean take centred=false.")

    def fit(self, trusted: Features) -> Self:
        """Learn how strongly trusted examples are coupled to one another."""
        super().fit(trusted)
        everyone = [self._pool_left_out(rows) for rows in self._blocks(len(trusted))]
        self._left_out = torch.cat(everyone, dim=1)
        self._mean, self._spread = self._left_out.mean(1, keepdim=True), self._left_out.std(1, keepdim=True)
        return self

    def coupling(self, inputs: Features) -> Tensor:
        """Mean over the layers, `[m, n]`."""
        return _mean(self._couple(inputs)).float()

    def coupling_by_layer(self, inputs: Features) -> dict[str, Tensor]:
        """`[m, n]` in each layer; one entry where they are joined."""
        names = ["whole"] if self.balance == "whole" else list(self.trusted.layers)
        return {name: matrix.float() for name, matrix in zip(names, self._couple(inputs), strict=True)}

    def pooled(self, inputs: Features) -> Tensor:
        """`[m]`, in [-1, 1], or in standard deviations of the trusted examples."""
        matrices = self._balanced(self._couple(inputs))
        return self._over_layers(torch.stack([self.pool(c, inputs.predictions) for c in matrices]))

    def pooled_left_out(self, rows: Tensor) -> Tensor:
        """`[m]`, as fitting found it."""
        return self._over_layers(self._left_out[:, rows])

    def _pool_left_out(self, rows: Tensor) -> Tensor:
        """Pooled coupling of the trusted examples at these positions, each to the others, `[layers, m]`."""
        classes, others = self.trusted.predictions[rows], self.others(rows)
        matrices = self._balanced(self._couple_left_out(rows))
        return torch.stack([self.pool(c, classes, others) for c in matrices])

    def _couple(self, inputs: Features) -> Iterator[Tensor]:
        """Couplings `[m, n]` in each layer."""
        for a, b in zip(self._layers(inputs), self._layers(self.trusted), strict=True):
            yield (centred_cosine(a, b) if self.centred else cosine(a, b)) * self._scale(a, b)

    def _couple_left_out(self, rows: Tensor) -> Iterator[Tensor]:
        for b in self._layers(self.trusted):
            direction = centred_cosine_left_out(b, rows) if self.centred else cosine(b[rows], b)
            yield direction * self._scale(b[rows], b)

    def _scale(self, a: Tensor, b: Tensor) -> Tensor:
        return scale_agreement(a, b) if self.measure == "identity" else torch.ones(())

    def _layers(self, features: Features) -> list[Tensor]:
        layers = [features.layers[name] for name in self.trusted.layers]
        return [torch.cat(layers, dim=1)] if self.balance == "whole" else layers

    def _balanced(self, matrices: Iterator[Tensor]) -> Iterator[Tensor]:
        return iter([_mean(matrices)]) if self.balance == "mean" else matrices

    def _over_layers(self, pooled: Tensor) -> Tensor:
        """One number `[m]` from one for each layer, `[layers, m]`."""
        if self.balance == "standardised":
            # A layer whose couplings are all alike, as an unused one's are, says nothing.
            spread = torch.where(self._spread > 0, self._spread, torch.inf)
            pooled = (pooled - self._mean) / spread
        return pooled.mean(dim=0).float()


def _mean(matrices: Iterator[Tensor]) -> Tensor:
    total, count = next(matrices).clone(), 1
    for matrix in matrices:
        total += matrix
        count += 1
    return total / count
