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
from anomech.functional.directions import (
    Centred,
    centred_directions,
    leave_out,
    mean_direction,
    scale_agreement,
    uncentred,
)
from anomech.functional.tails import tail_units, tail_units_of_others

GradientMeasure = Literal["cosine", "identity"]
Balance = Literal["whole", "mean", "pooled", "worst"]

SHARPNESS = 5.0
"""How close the soft maximum over layers comes to the maximum; chosen on development data."""

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
            within each layer, then averages; "worst" takes a soft maximum in place of that average, so that a few
            layers in which nothing vouches are not outvoted, whatever an attacker has done to the others.
        common: Also read what centring takes away: the couplings as they are, averaged over the layers, then pooled.
            The input is as anomalous as it is by the reading that speaks more against it.
        left_out: Pooled coupling of each trusted example to the others, `[readings, n]`.
    """

    features: FeatureExtractor = field(default_factory=GradientSketch)
    pooling: Pooling = "nearest"
    measure: GradientMeasure = "identity"
    centred: bool = True
    balance: Balance = "pooled"
    common: bool = True
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
        everyone = [self._read_left_out(rows)[:2] for rows in self.row_blocks(len(trusted))]
        own, common = (torch.cat(part, dim=1) for part in zip(*everyone, strict=True))
        self._layer_units = tail_units(-own)
        self.left_out = torch.cat([self._over_layers(own, tail_units_of_others(-own)), common])
        self._units = tail_units(-self.left_out)
        return self

    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Pooled coupling, 0 at the trusted median and -1 where the most unusual ones are; mean over the layers."""
        readings, coupling = self.readings(inputs)
        return _worse(readings, *self._units), coupling

    def readings(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Pooled couplings `[readings, m]`, as the settings say and, if asked for, of what is common; mean coupling."""
        own, common, coupling = self._read(self._couple(inputs), inputs.predictions)
        return torch.cat([self._over_layers(own, self._layer_units), common]), coupling

    def coupling_by_layer(self, inputs: Features) -> dict[str, Tensor]:
        """`[m, n]` in each layer; one entry where they are joined."""
        names = ["whole"] if self.balance == "whole" else list(self.trusted.layers)
        return dict(zip(names, (couplings.own for couplings in self._couple(inputs)), strict=True))

    def pooled_left_out(self, rows: Tensor) -> Tensor:
        """`[m]`, as fitting found it."""
        return _worse(self.left_out[:, rows], *self._units)

    def coupling_left_out(self, rows: Tensor) -> Tensor:
        """`[m, n]`, mean over the layers, as `read` returns it."""
        return self._read_left_out(rows)[2]

    def _over_layers(self, pooled: Tensor, units: tuple[Tensor, Tensor]) -> Tensor:
        """One number `[1, m]` from pooled couplings in each layer, `[layers, m]`."""
        if self.balance != "worst":
            return pooled.mean(dim=0, keepdim=True)
        centre, unit = units
        outside = (-pooled - centre) / unit
        return -(SHARPNESS * outside).logsumexp(dim=0, keepdim=True) / SHARPNESS

    def _read_left_out(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `_read` returns of the trusted examples at these positions, each coupled to the others."""
        return self._read(self._couple_left_out(rows), self.trusted.predictions[rows], self.others(rows))

    def _read(
        self, layers: Iterator[_Couplings], classes: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Own couplings, pooled, `[layers, m]` or `[1, m]`; common ones, `[1, m]` or `[0, m]`; own ones averaged."""
        own, common, pooled = torch.zeros(()), torch.zeros(()), []
        by_layer = self.balance in ("pooled", "worst")
        for couplings in layers:
            own = own + couplings.own
            if couplings.common is not None:
                common = common + couplings.common
            if by_layer:
                pooled.append(self.pool(couplings.own, classes, mask))
        own, common = own / len(self._prepared), common / len(self._prepared)
        return (
            torch.stack(pooled if by_layer else [self.pool(own, classes, mask)]),
            self.pool(common, classes, mask)[None] if self.common else own.new_empty(0, len(classes)),
            own,
        )

    def _couple(self, inputs: Features) -> Iterator[_Couplings]:
        for layer, trusted in zip(self._layers(inputs), self._prepared, strict=True):
            mine = _Layer(centred_directions(layer, trusted.mean), _norms(layer), trusted.mean)
            cosines = mine.directions.rows @ trusted.directions.rows.T
            yield self._couplings(cosines, cosines, mine, trusted)

    def _couple_left_out(self, rows: Tensor) -> Iterator[_Couplings]:
        for trusted in self._prepared:
            mine = _Layer(trusted.directions.at(rows), trusted.norms[rows], trusted.mean)
            cosines = mine.directions.rows @ trusted.directions.rows.T
            own = leave_out(cosines, trusted.directions.lengths, rows) if self.centred else cosines
            yield self._couplings(own, cosines, mine, trusted)

    def _couplings(self, own: Tensor, cosines: Tensor, mine: _Layer, trusted: _Layer) -> _Couplings:
        scale = torch.outer(mine.norms > 0, trusted.norms > 0).float()
        if self.measure == "identity":
            scale *= scale_agreement(mine.norms, trusted.norms)
        common = uncentred(cosines, mine.directions, trusted.directions) * scale if self.common else None
        return _Couplings(own * scale, common)

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


class _Couplings(NamedTuple):
    """How inputs are coupled to trusted examples in a layer, `[m, n]`."""

    own: Tensor
    """As the settings say."""
    common: Tensor | None
    """Without centring, if that is read too."""


def _worse(readings: Tensor, centre: Tensor, unit: Tensor) -> Tensor:
    """One number `[m]` from pooled couplings `[readings, m]`, each in units of its own trusted tail."""
    worse: Tensor = -((-readings - centre) / unit).amax(dim=0)
    return worse


def _norms(gradients: Tensor) -> Tensor:
    norms: Tensor = gradients.double().norm(dim=1)
    return norms
