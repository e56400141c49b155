"""Couplings of per-sample gradients: do two inputs pull the weights in the same direction, and as hard?

Gradients are rows, `a` `[m, d]` of inputs and `b` `[n, d]` of trusted examples; couplings are `[m, n]` in [-1, 1], 0
for a gradient of zero. The inner product of two directions is their cosine.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-18
"""Ratio of norms that is as good as none; its square is still a number in single precision."""
TINY = torch.finfo(torch.float64).tiny


def directions(a: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of unit norm, float32 `[m, d]`, and the norms that they had, float64 `[m]`; a row of zeros stays so.

    Gradients of sure answers are tiny; nothing underflows.
    """
    unit, norms = _unit(a)
    return unit.float(), norms


def mean_direction(b: Tensor) -> Tensor:
    """Mean of the directions of the rows, float64 `[d]`."""
    return _unit(b.double())[0].mean(dim=0)


class Centred(NamedTuple):
    """Directions of n rows less a mean direction."""

    rows: Tensor
    """Of unit norm, float32 `[n, d]`; zero where the row was."""
    lengths: Tensor
    """How long they were before they were given unit norm, `[n]`."""

    def at(self, positions: Tensor) -> Centred:
        """Those at these positions."""
        return Centred(*(values[positions] for values in self))


def centred_directions(a: Tensor, mean: Tensor) -> Centred:
    """Directions of the rows less a mean direction, float64 `[d]`."""
    unit, _ = _unit(a.double())
    centred = (unit - mean) * a.any(dim=1, keepdim=True)
    return Centred(_unit(centred)[0].float(), centred.norm(dim=1).float())


def leave_out(cosines: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
    """Centred cosines as they would be if the mean direction were that of the other rows.

    A trusted example that is in the mean lies a little closer to it than any new input does. With the own row out of
    the mean of n, every centred row moves by the own centred row over n - 1.

    Args:
        cosines: Centred cosines of the chosen rows with all, `[m, n]`.
        lengths: Lengths of all centred rows, `[n]`.
        rows: Positions of the chosen ones, int64 `[m]`.

    Returns:
        `[m, n]`; the coupling of a row with itself has no meaning.
    """
    step = (lengths[rows] / (len(lengths) - 1))[:, None]
    squares = lengths.square() + 2 * lengths * cosines * step + step.square()
    moved = (lengths * cosines + step) / squares.clamp_min(torch.finfo(cosines.dtype).tiny).sqrt()
    return torch.where(lengths > 0, moved, 0.0)


def scale_agreement(norms_a: Tensor, norms_b: Tensor) -> Tensor:
    """`2 |a| |b| / (|a|^2 + |b|^2)` of norms `[m]` and `[n]`, float32 `[m, n]`: 1 where they are equal.

    The cosine times it is the coefficient of identity (Zegers and ten Berge 1985): what concordance is to
    correlation, without centring.
    """
    # As 2 r / (r^2 + 1) of the ratio r, whose factors are scaled so that neither underflows in single precision.
    a, b = norms_a.double().clamp_min(TINY), norms_b.double().clamp_min(TINY)
    middle = b.median()
    ratio = torch.outer(*((factor.clamp(FLOOR, 1 / FLOOR)).float() for factor in (a / middle, middle / b)))
    return ratio.mul(2).div_(ratio.square_().add_(1))


def _unit(a: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of unit norm in their own precision, and the norms that they had, float64 `[m]`."""
    largest = a.abs().amax(dim=1, keepdim=True)
    scaled = a / largest.clamp_min(torch.finfo(a.dtype).tiny)
    norms = scaled.norm(dim=1, keepdim=True)
    unit = scaled / norms.clamp_min(torch.finfo(a.dtype).tiny)
    return unit, (norms.double() * largest.double())[:, 0]
