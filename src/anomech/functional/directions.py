"""Couplings of per-sample gradients: do two inputs pull the weights in the same direction, and as hard?

Gradients are rows, `a` `[m, d]` of inputs and `b` `[n, d]` of trusted examples; couplings are `[m, n]` in [-1, 1], 0
for a gradient of zero. Everything is computed in double precision, since gradients of sure answers are tiny.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of every row of `a` with every row of `b`."""
    return (directions(a) @ directions(b).T).clamp(-1, 1)


def centred_cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine after the mean direction of `b` is taken from the direction of every row."""
    unit_a, unit_b = directions(a), directions(b)
    mean = unit_b.mean(dim=0)
    centred = directions(unit_a - mean) @ directions(unit_b - mean).T
    return _where_any(a, b, centred)


def centred_cosine_left_out(b: Tensor, rows: Tensor) -> Tensor:
    """`centred_cosine(b[rows], b)`, but each row is a new input: the mean is over the other rows of `b`.

    Otherwise every trusted example would lie a little closer to the mean than any new input does.

    Args:
        b: `[n, d]`, at least two rows.
        rows: Positions of the rows that are left out, one at a time, int64 `[m]`.

    Returns:
        `[m, n]`; the coupling of a row with itself has no meaning.
    """
    unit = directions(b)
    others, total = len(unit) - 1, unit.sum(dim=0)
    left = unit[rows]
    mean = (total - left) / others
    # <u_i - mean_i, u_j - mean_i> for all i and j, though each i has a mean of its own.
    to_mean = mean @ unit.T
    own = (left * mean).sum(dim=1, keepdim=True)
    square = mean.square().sum(dim=1, keepdim=True)
    product = left @ unit.T - own - to_mean + square
    norm_i = (left - mean).norm(dim=1, keepdim=True)
    norm_j = (unit.square().sum(dim=1) - 2 * to_mean + square).clamp_min(0).sqrt()
    return _where_any(b[rows], b, product / (norm_i * norm_j).clamp_min(torch.finfo(unit.dtype).tiny))


def scale_agreement(a: Tensor, b: Tensor) -> Tensor:
    """`2 |a| |b| / (|a|^2 + |b|^2)`, 1 where the norms are equal; the cosine times it is the coefficient of identity.

    What concordance is to correlation, without centring (Zegers and ten Berge 1985).
    """
    # The ratio of norms, so that squares of tiny gradients do not underflow.
    norm_a, norm_b = a.double().norm(dim=1)[:, None], b.double().norm(dim=1)
    ratio = torch.minimum(norm_a, norm_b) / torch.maximum(norm_a, norm_b).clamp_min(torch.finfo(torch.float64).tiny)
    agreement: Tensor = 2 * ratio / (1 + ratio.square())
    return agreement


def directions(a: Tensor) -> Tensor:
    """Rows of unit norm, in double precision; zero where the row is."""
    a = a.double()
    scaled = a / a.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)
    unit: Tensor = scaled / scaled.norm(dim=1, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)
    return unit


def _where_any(a: Tensor, b: Tensor, coupling: Tensor) -> Tensor:
    """Zero wherever one of the gradients is."""
    return torch.where(a.any(dim=1)[:, None] & b.any(dim=1), coupling, 0.0).clamp(-1, 1)
