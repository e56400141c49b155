"""Functional attribution to first order, pair by pair: coupled inputs pull the weights in the same directions.

The covariance of two loss traces around the trained weights is, to first order, an inner product of per-sample
gradients (arXiv 2604.18970; arXiv 2509.26544).
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
from anomech.functional.directions import Centred, centred_directions, leave_out, mean_direction, scale_agreement

GradientMeasure = Literal["cosine", "identity"]
Balance = Literal["whole", "mean", "pooled"]

SMALLEST = 3
"""Trusted examples below which one has no two others."""


@dataclass(kw_only=True)
class GradientCoupling(Coupling):
    """Coupling of per-sample gradients, balanced over the layers so that none rules it.

    Attributes:
        features: Gradients by layer.
        measure: "cosine", or "identity" (Zegers and ten Berge 1985), which also sees a difference in scale.
        centred: Take the mean direction of the trusted gradients from all of them, layer by layer.
        balance: "whole" joins the layers to one vector; "mean" averages their couplings, then pools; "pooled" pools
            within each layer, then averages.
        left_out: Pooled coupling of each trusted example to the others, `[n]`.
    """

    features: FeatureExtractor = field(default_factory=GradientSketch)
    pooling: Pooling = "nearest"
    measure: GradientMeasure = "identity"
    centred: bool = True
    balance: Balance = "pooled"
    left_out: Tensor = field(init=False, repr=False, compare=False)

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
        self.left_out = torch.cat([self._read_left_out(rows)[0] for rows in self.row_blocks(len(trusted))])
        return self

    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Pooled coupling; mean over the layers."""
        return self._read(self._couple(inputs), inputs.predictions)

    def coupling_by_layer(self, inputs: Features) -> dict[str, Tensor]:
        """`[m, n]` in each layer; one entry where they are joined."""
        names = ["whole"] if self.balance == "whole" else list(self.trusted.layers)
        return dict(zip(names, self._couple(inputs), strict=True))

    def pooled_left_out(self, rows: Tensor) -> Tensor:
        """`[m]`, as fitting found it."""
        return self.left_out[rows]

    def coupling_left_out(self, rows: Tensor) -> Tensor:
        """`[m, n]`, mean over the layers, as `read` returns it."""
        return self._read_left_out(rows)[1]

    def _read_left_out(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What `_read` returns of the trusted examples at these positions, each coupled to the others."""
        return self._read(self._couple_left_out(rows), self.trusted.predictions[rows], self.others(rows))

    def _read(self, layers: Iterator[Tensor], classes: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Couplings pooled, `[m]`, and averaged, `[m, n]`."""
        total, pooled = torch.zeros(()), []
        for couplings in layers:
            total = total + couplings
            if self.balance == "pooled":
                pooled.append(self.pool(couplings, classes, mask))
        mean = total / len(self._prepared)
        return (torch.stack(pooled).mean(dim=0) if pooled else self.pool(mean, classes, mask)), mean

    def _couple(self, inputs: Features) -> Iterator[Tensor]:
        for layer, trusted in zip(self._layers(inputs), self._prepared, strict=True):
            mine = _Layer(centred_directions(layer, trusted.mean), _norms(layer), trusted.mean)
            yield self._scaled(mine.directions.rows @ trusted.directions.rows.T, mine, trusted)

    def _couple_left_out(self, rows: Tensor) -> Iterator[Tensor]:
        for trusted in self._prepared:
            mine = _Layer(trusted.directions.at(rows), trusted.norms[rows], trusted.mean)
            cosines = mine.directions.rows @ trusted.directions.rows.T
            if self.centred:
                cosines = leave_out(cosines, trusted.directions.lengths, rows)
            yield self._scaled(cosines, mine, trusted)

    def _scaled(self, cosines: Tensor, mine: _Layer, trusted: _Layer) -> Tensor:
        if self.measure == "identity":
            return cosines * scale_agreement(mine.norms, trusted.norms)
        return cosines

    def _prepare(self, layer: Tensor) -> _Layer:
        mean = mean_direction(layer) if self.centred else torch.zeros(layer.shape[1], dtype=torch.float64)
        return _Layer(centred_directions(layer, mean), _norms(layer), mean)

    def _layers(self, features: Features) -> list[Tensor]:
        layers = [features.layers[name] for name in self.trusted.layers]
        return [torch.cat(layers, dim=1)] if self.balance == "whole" else layers


class _Layer(NamedTuple):
    """What is kept of the gradients of a layer."""

    directions: Centred
    norms: Tensor
    """Of the gradients, `[n]`."""
    mean: Tensor
    """Mean direction of the trusted ones, float64 `[d]`; zeros if it is not taken away."""


def _norms(gradients: Tensor) -> Tensor:
    norms: Tensor = gradients.double().norm(dim=1)
    return norms
