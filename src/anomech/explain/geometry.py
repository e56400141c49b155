"""Where the gradients of inputs lie: in directions in which the trusted loss is sharp, or in flat ones.

The trusted loss' Hessian is a bulk near zero and a few outliers. Gradients of clean inputs were found to lie in the
outliers' directions, those of backdoored ones in the bulk (arXiv 2604.18970, figure 4).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.explain.placement import Placement, cosines
from anomech.functional.metrics import mean_interval
from anomech.gradients.sharp import SharpDirections

FEWEST = 10
"""Inputs of a group that an interval is told for."""
BINS = 80
"""Of cosines."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean over inputs for each number of directions, with its 95 % bootstrap interval."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, values: Tensor, *, seed: int) -> Self:
        """That of values `[n, k]`."""
        ends = mean_interval(values, seed=seed)
        return cls(
            **dict(zip(("mean", "low", "high"), (tuple(v.tolist()) for v in (values.mean(0), *ends)), strict=True))
        )


@dataclass(frozen=True, kw_only=True)
class Group:
    """Inputs of one kind.

    Attributes:
        name: Which.
        inputs: How many of them have a gradient.
        sharp: Share of their gradients' energy in the sharpest directions.
        matched: The same of random vectors with the gradients' norms in every parameter, in the mean.
        alignment: Mean cosine of their gradients with those of trusted examples, one number.
        cosines: Of all pairs of one of them and a trusted example, their shares in `BINS` equal bins from -1 to 1.
    """

    name: str
    inputs: int
    sharp: Curve
    matched: tuple[float, ...]
    alignment: Curve
    cosines: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where gradients lie.

    Attributes:
        eigenvalues: Of the Hessian of the trusted loss, the largest first.
        parameters: Weights of the model.
        groups: Trusted examples first.
        anomalous: Name of the group that is in question; None where there are too few of them.
        clean: Name of the one that it is compared with.
    """

    eigenvalues: tuple[float, ...]
    parameters: int
    groups: tuple[Group, ...]
    clean: str
    anomalous: str | None

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"headline": self.headline, "random": self.random, **asdict(self)}

    @property
    def random(self) -> tuple[float, ...]:
        """Share of a random direction's energy in the sharpest directions."""
        return tuple(i / self.parameters for i in range(1, len(self.eigenvalues) + 1))

    def group(self, name: str) -> Group:
        """The group of that name."""
        return next(group for group in self.groups if group.name == name)

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        clean, count = self.group(self.clean), len(self.eigenvalues)
        among = f"in the {count} sharpest of {self.parameters:,} directions of the trusted loss"
        if self.anomalous is None:
            return f"Gradients of {clean.name} inputs have {_told(clean.sharp)} of their energy {among}."
        bad = self.group(self.anomalous)
        if bad.sharp.high[-1] < clean.sharp.low[-1]:
            verdict = "flatter for trusted examples than those of"
        elif bad.sharp.low[-1] > clean.sharp.high[-1]:
            verdict = "sharper for trusted examples than those of"
        else:
            verdict = "about as sharp for trusted examples as those of"
        return (
            f"Gradients of {bad.name} inputs lie in directions {verdict} {clean.name} ones: {_told(bad.sharp)} of "
            f"their energy is {among}, against {_told(clean.sharp)}."
        )


def compare(
    sharp: SharpDirections,
    trusted: Placement,
    others: Placement,
    anomalous: Tensor,
    *,
    names: tuple[str, str],
    seed: int = 0,
) -> Geometry:
    """Where gradients of trusted examples, of clean and of anomalous inputs lie.

    Clean inputs that have an answer of anomalous ones are a group of their own: a class may be sharper than others.

    Args:
        sharp: The directions.
        trusted: Trusted examples in them.
        others: Inputs in them.
        anomalous: Which of them are, bool `[n]`.
        names: What clean and anomalous inputs are called.
        seed: Seed of the bootstrap.

    Raises:
        DataError: There are too few trusted examples or clean inputs.
    """
    trusted, clean, bad = trusted[trusted.moved], others[others.moved & ~anomalous], others[others.moved & anomalous]
    if min(len(trusted), len(clean)) < FEWEST:
        raise DataError(
            f"{len(trusted)} trusted examples and {len(clean)} {names[0]} inputs have a gradient; {FEWEST} of each are "
            "needed to tell where gradients lie."
        )
    parts = {"trusted": trusted, names[0]: clean, names[1]: bad}
    if bad.predictions.ndim == 1:
        alike = torch.isin(clean.predictions, bad.predictions)
        if not alike.all():
            parts[f"{names[0]}, answered like {names[1]} ones"] = clean[alike]
    groups = [_group(name, part, trusted, seed) for name, part in parts.items() if len(part) >= FEWEST]
    return Geometry(
        eigenvalues=tuple(sharp.eigenvalues.tolist()),
        parameters=sum(sharp.sizes),
        groups=tuple(groups),
        clean=names[0],
        anomalous=names[1] if len(bad) >= FEWEST else None,
    )


def _group(name: str, placed: Placement, trusted: Placement, seed: int) -> Group:
    pairs = cosines(placed, trusted)
    counts = torch.histc(pairs[~pairs.isnan()].clamp(-1, 1), BINS, -1, 1)
    return Group(
        name=name,
        inputs=len(placed),
        sharp=Curve.of(placed.shares, seed=seed),
        matched=tuple(placed.matched.mean(0).tolist()),
        alignment=Curve.of(pairs.nanmean(1, keepdim=True), seed=seed),
        cosines=tuple((counts / counts.sum()).tolist()),
    )


def _told(curve: Curve) -> str:
    mean, low, high = (100 * values[-1] for values in (curve.mean, curve.low, curve.high))
    return f"{mean:.1f} % ({low:.1f}-{high:.1f})"
