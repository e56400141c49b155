"""Functional attribution to first order: coupled inputs pull the weights in the same directions.

The covariance of two loss traces around the trained weights is, to first order, an inner product of per-sample
gradients (arXiv 2604.18970; arXiv 2509.26544). `docs/estimators.md` says how the readings below were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.coupling import Coupling, Pooling
from anomech.errors import DataError, SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch
from anomech.functional.directions import centred_directions, directions, leave_out, mean_direction, scale_agreement

GradientMeasure = Literal["cosine", "identity"]
Balance = Literal["whole", "mean", "pooled", "standardised"]

SMALLEST = 3
"""Trusted examples below which the others of one have no standard deviation."""
ALIKE = 1e-6
"""Standard deviation of couplings that is rounding error."""


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
        if len(trusted) < SMALLEST:
            raise DataError(
                f"{len(trusted)} trusted examples cannot be coupled to one another; give at least {SMALLEST}."
            )
        self._prepared = [self._prepare(layer) for layer in self._layers(trusted)]
        everyone = [self._pool_left_out(rows) for rows in self.row_blocks(len(trusted))]
        self._left_out = torch.cat(everyone, dim=1)
        self._mean, self._spread = self._left_out.mean(1, keepdim=True), self._left_out.std(1, keepdim=True)
        self._moments_of_others = _moments_of_others(self._left_out)
        return self

    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Pooled coupling in [-1, 1], or in standard deviations of trusted examples; mean coupling over the layers."""
        pooled, mean = self._pool(self._couple(inputs), inputs.predictions)
        return self._over_layers(pooled, self._mean, self._spread), mean

    def coupling_by_layer(self, inputs: Features) -> dict[str, Tensor]:
        """`[m, n]` in each layer; one entry where they are joined."""
        names = ["whole"] if self.balance == "whole" else list(self.trusted.layers)
        return dict(zip(names, self._couple(inputs), strict=True))

    def pooled_left_out(self, rows: Tensor) -> Tensor:
        """`[m]`, as fitting found it; in standard deviations of the others, as a new input is."""
        mean, spread = self._moments_of_others
        return self._over_layers(self._left_out[:, rows], mean[:, rows], spread[:, rows])

    def _pool_left_out(self, rows: Tensor) -> Tensor:
        """Pooled coupling of the trusted examples at these positions, each to the others, `[layers, m]`."""
        return self._pool(self._couple_left_out(rows), self.trusted.predictions[rows], self.others(rows))[0]

    def _pool(self, layers: Iterator[Tensor], classes: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From couplings in each layer: pooled ones `[layers, m]`, or `[1, m]` of their mean; and their mean."""
        total, pooled = torch.zeros(()), []
        for coupling in layers:
            total = total + coupling
            if self.balance != "mean":
                pooled.append(self.pool(coupling, classes, mask))
        mean = total / len(self._prepared)
        return torch.stack(pooled or [self.pool(mean, classes, mask)]), mean

    def _couple(self, inputs: Features) -> Iterator[Tensor]:
        """Couplings `[m, n]` in each layer."""
        for a, trusted in zip(self._layers(inputs), self._prepared, strict=True):
            unit = directions(a) if trusted.mean is None else centred_directions(a, trusted.mean)[0]
            yield self._scaled(unit @ trusted.directions.T, _norms(a), trusted.norms)

    def _couple_left_out(self, rows: Tensor) -> Iterator[Tensor]:
        for trusted in self._prepared:
            cosines = trusted.directions[rows] @ trusted.directions.T
            if self.centred:
                cosines = leave_out(cosines, trusted.lengths, rows)
            yield self._scaled(cosines, trusted.norms[rows], trusted.norms)

    def _prepare(self, layer: Tensor) -> _Layer:
        if not self.centred:
            return _Layer(directions(layer), torch.ones(len(layer)), _norms(layer), None)
        mean = mean_direction(layer)
        return _Layer(*centred_directions(layer, mean), _norms(layer), mean)

    def _scaled(self, cosines: Tensor, norms_a: Tensor, norms_b: Tensor) -> Tensor:
        return cosines * scale_agreement(norms_a, norms_b) if self.measure == "identity" else cosines

    def _layers(self, features: Features) -> list[Tensor]:
        layers = [features.layers[name] for name in self.trusted.layers]
        return [torch.cat(layers, dim=1)] if self.balance == "whole" else layers

    def _over_layers(self, pooled: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """One number `[m]` from one for each layer, `[layers, m]`."""
        if self.balance == "standardised":
            # A layer whose couplings are all alike, as an unused one's are, says nothing.
            pooled = (pooled - mean) / torch.where(spread > ALIKE, spread, torch.inf)
        return pooled.mean(dim=0)


class _Layer(NamedTuple):
    """What is kept of the trusted gradients of a layer."""

    directions: Tensor
    """`[n, d]`, centred or not."""
    lengths: Tensor
    """Of the centred directions before they were given unit norm, `[n]`."""
    norms: Tensor
    """Of the gradients, `[n]`."""
    mean: Tensor | None
    """Mean direction `[d]`, if it is taken away."""


def _norms(gradients: Tensor) -> Tensor:
    norms: Tensor = gradients.double().norm(dim=1)
    return norms


def _moments_of_others(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation `[layers, n]` of all values `[layers, n]` but the one at each place."""
    n = values.shape[1]
    centre = values.mean(dim=1, keepdim=True)
    off = (values - centre).double()
    mean = -off / (n - 1)
    squares = off.square().sum(dim=1, keepdim=True) - off.square() - (n - 1) * mean.square()
    return (mean + centre).float(), (squares.clamp_min(0) / (n - 2)).sqrt().float()
