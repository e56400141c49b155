"""How strongly two inputs are coupled, and how the couplings of one input are pooled into one number.

A coupling matrix is `[m, n]`: m inputs by n trusted examples, in [-1, 1], higher where the trusted example better
explains the input. Every pooling takes an optional bool mask `[m, n]` of the pairs that count, so that a trusted
example can be scored against all the others.

Source: Mechanistic Anomaly Detection via Functional Attribution (arXiv 2604.18970).
"""

from __future__ import annotations

import torch
from torch import Tensor

NO_COUPLING = -1.0
"""Pooled coupling of an input for which no trusted example counts: the lowest that there is."""


def standardise(a: Tensor) -> Tensor:
    """Rows `[m, t]` less their mean, of unit norm, so that inner products are correlations; 0 where constant."""
    centred = a - a.mean(dim=1, keepdim=True)
    # A constant row keeps rounding errors of its mean; anything below them is no signal.
    floor = a.abs().amax(dim=1, keepdim=True) * torch.finfo(a.dtype).eps * a.shape[1] ** 0.5
    norm = centred.norm(dim=1, keepdim=True)
    return torch.where(norm > floor, centred / norm.clamp_min(torch.finfo(a.dtype).tiny), 0.0)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of every row of `a` with every row of `b`; 0 where a row is constant.

    Args:
        a: `[m, t]`.
        b: `[n, t]`.

    Returns:
        `[m, n]`.
    """
    return (standardise(a.double()) @ standardise(b.double()).T).clamp(-1, 1).to(a.dtype)


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Concordance correlation (Lin 1989) of every row of `a` with every row of `b`; 0 where both are one constant.

    `2 cov / (var_a + var_b + (mean_a - mean_b)^2)`: unlike Pearson's it falls where the scales differ.

    Args:
        a: `[m, t]`.
        b: `[n, t]`.

    Returns:
        `[m, n]`.
    """
    # Traces of confident predictions are so small that their squares underflow in single precision.
    x, y = a.double(), b.double()
    mean_x, mean_y = x.mean(dim=1), y.mean(dim=1)
    covariance = (x - mean_x[:, None]) @ (y - mean_y[:, None]).T / x.shape[1]
    spread = x.var(dim=1, correction=0)[:, None] + y.var(dim=1, correction=0) + (mean_x[:, None] - mean_y) ** 2
    ratio = torch.where(spread > 0, 2 * covariance / spread.clamp_min(torch.finfo(x.dtype).tiny), 0.0)
    return ratio.clamp(-1, 1).to(a.dtype)


def mean_coupling(coupling: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the trusted examples, `[m]`."""
    mask = torch.ones_like(coupling, dtype=torch.bool) if mask is None else mask
    counts = mask.sum(dim=1)
    means = (coupling * mask).sum(dim=1) / counts.clamp_min(1)
    return torch.where(counts > 0, means, NO_COUPLING)


def class_level_coupling(coupling: Tensor, trusted_classes: Tensor, mask: Tensor | None = None) -> Tensor:
    """The paper's CLC: the largest, over classes, of the mean over the trusted examples of that class, `[m]`."""
    mask = torch.ones_like(coupling, dtype=torch.bool) if mask is None else mask
    by_class = [mean_coupling(coupling, mask & (trusted_classes == label)) for label in trusted_classes.unique()]
    return torch.stack(by_class).amax(dim=0)


def own_class_coupling(
    coupling: Tensor, classes: Tensor, trusted_classes: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mean over the trusted examples that the model puts in the input's own class, `[m]`.

    An input whose class no trusted example has gets `NO_COUPLING`.
    """
    own = classes[:, None] == trusted_classes
    return mean_coupling(coupling, own if mask is None else mask & own)


def nearest_coupling(coupling: Tensor, k: int, mask: Tensor | None = None) -> Tensor:
    """Mean over the k trusted examples with the largest coupling, or all that count if fewer, `[m]`."""
    if mask is None:
        return coupling.topk(min(k, coupling.shape[1]), dim=1).values.mean(dim=1)
    top, positions = coupling.masked_fill(~mask, -torch.inf).topk(min(k, coupling.shape[1]), dim=1)
    return mean_coupling(top.masked_fill(top.isinf(), 0.0), mask.gather(1, positions))


def nearest_own_class_coupling(
    coupling: Tensor, classes: Tensor, trusted_classes: Tensor, k: int, mask: Tensor | None = None
) -> Tensor:
    """Mean over the k closest of the input's own class; over the k closest of all where that class is rare, `[m]`.

    Examples of a rare class (`is_rare`) have few to vouch for them, so their scores would be the highest of all, and
    set the threshold. A class that no trusted example has is rare too: were its inputs scored by a rule of their own,
    no trusted score would say how often that happens to clean ones.
    """
    mask = torch.ones_like(coupling, dtype=torch.bool) if mask is None else mask
    own = classes[:, None] == trusted_classes
    # Counted without the mask: a trusted example that is left out must be treated as a new input of its class is.
    return torch.where(is_rare(own, k), nearest_coupling(coupling, k, mask), nearest_coupling(coupling, k, mask & own))


def is_rare(own: Tensor, k: int) -> Tensor:
    """Whether fewer than 2 k trusted examples are of the input's own class, bool `[m]`, from `own`, bool `[m, n]`."""
    return own.sum(dim=1) < 2 * k
