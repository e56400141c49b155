"""Sparse dictionaries: rows as sums of a few of many directions.

A row `x` `[d]` gets a code `f` `[m]` from its pre-activations `(x - b_dec) W_enc + b_enc`, and is rebuilt as
`f W_dec + b_dec`; a feature is a row of `W_dec` `[m, d]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHRUNK = 0.2
"""Norm of the encoder of a feature that is drawn anew, relative to those that live."""


def top_k(pre: Tensor, k: int) -> Tensor:
    """Codes `[n, m]` that keep the k largest pre-activations `[n, m]` of each row, where they are positive.

    Source: Gao et al. 2024 (arXiv 2406.04093).
    """
    values, places = pre.topk(min(k, pre.shape[1]), dim=1)
    return torch.zeros_like(pre).scatter(1, places, values.relu())


def batch_top_k(pre: Tensor, k: int) -> Tensor:
    """Codes `[n, m]` that keep the `k n` largest pre-activations of all n rows, where they are positive.

    Source: Bussmann et al. 2024 (arXiv 2412.06410).
    """
    flat = pre.flatten()
    values, places = flat.topk(min(k * len(pre), len(flat)))
    return torch.zeros_like(flat).scatter(0, places, values.relu()).view_as(pre)


def jump_relu(pre: Tensor, threshold: Tensor) -> Tensor:
    """Codes `[n, m]` that keep pre-activations above a threshold `[m]` of at least 0.

    Source: Rajamanoharan et al. 2024 (arXiv 2407.14435).
    """
    return pre * (pre > threshold)


def part_norms(decoder: Tensor, parts: int) -> Tensor:
    """Norms `[m, parts]` of the parts, one a model, of the rows of a decoder `[m, parts * d]`."""
    norms: Tensor = decoder.view(len(decoder), parts, -1).norm(dim=2)
    return norms


def weighted_l1(codes: Tensor, norms: Tensor) -> Tensor:
    """Mean over rows of codes `[n, m]`, each times the summed norms `[m, parts]` of what it decodes to.

    Source: Lindsey et al. 2024 (Sparse crosscoders), with one part Templeton et al. 2024 (Scaling monosemanticity).
    """
    return (codes * norms.sum(dim=1)).sum(dim=1).mean()


def variance_explained(values: Tensor, rebuilt: Tensor, centre: Tensor) -> float:
    """Share of the variance of values `[n, d]` around a centre `[d]` that is rebuilt; below 0 if it were better."""
    return float(1 - (values - rebuilt).square().sum() / (values - centre).square().sum())


def badly_rebuilt(values: Tensor, errors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Directions of `count` rows, unit `[count, d]`, each drawn with a probability that grows with its error squared.

    What dead features are set to: after Bricken et al. 2023 (Towards monosemanticity, "Neuron resampling").

    Args:
        values: Rows, or what is left of them, `[n, d]`.
        errors: Squared error of each, `[n]`.
        count: How many.
        generator: Where chance comes from, on the CPU.
    """
    weights = errors.square().cpu() + torch.finfo(torch.float32).tiny
    drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
    return torch.nn.functional.normalize(values[drawn.to(values.device)], dim=1)


def fitting_scale(values: Tensor, rebuilt: Tensor) -> Tensor:
    """What to multiply `rebuilt` `[n, d]` by to be as near as possible to values `[n, d]`, within 0 and 1."""
    return ((values * rebuilt).sum() / rebuilt.square().sum().clamp_min(torch.finfo(rebuilt.dtype).tiny)).clamp(0, 1)


def without_directions(values: Tensor, directions: Tensor) -> Tensor:
    """Values `[..., d]` less their projection on the space that directions `[k, d]` span."""
    # From the singular vectors, since directions may be alike.
    _, spread, basis = torch.linalg.svd(directions.double(), full_matrices=False)
    basis = basis[spread > 1e-9 * spread.max()].to(values.dtype)
    projected: Tensor = (values @ basis.T) @ basis
    return values - projected


def matched_cosine(truth: Tensor, found: Tensor) -> float:
    """Mean over the rows of `truth` `[p, d]` of the largest cosine with a row of `found` `[m, d]`.

    Source: Sharkey et al. 2022 (Taking features out of superposition with sparse autoencoders).
    """
    first, second = (torch.nn.functional.normalize(rows, dim=1) for rows in (truth, found))
    return float((first @ second.T).amax(dim=1).mean())
