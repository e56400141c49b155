"""Convergence of Markov chains. A statistic is `[chains, draws]`.

Source: Vehtari et al. 2021, Rank-normalization, folding, and localization (arXiv 1903.08008), without the rank step.
"""

from __future__ import annotations

import torch
from torch import Tensor


def split_r_hat(statistic: Tensor) -> float:
    """Potential scale reduction over the halves of all chains; 1 where they agree, NaN below 4 draws a chain."""
    half = statistic.shape[1] // 2
    if half < 2:
        return float("nan")
    halves = torch.cat([statistic[:, :half], statistic[:, -half:]]).double()
    within = halves.var(dim=1).mean()
    between = half * halves.mean(dim=1).var()
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float((((half - 1) / half * within + between / half) / within).sqrt())


def effective_sample_size(statistic: Tensor) -> float:
    """Number of independent draws that would estimate the mean as well, by Geyer's initial positive sequence."""
    chains, draws = statistic.shape
    centred = (statistic - statistic.mean(dim=1, keepdim=True)).double()
    spectrum = torch.fft.rfft(centred, n=2 * draws)
    autocovariance = torch.fft.irfft(spectrum * spectrum.conj(), n=2 * draws)[:, :draws].mean(dim=0) / draws
    if autocovariance[0] == 0:
        return float(chains * draws)
    between = statistic.double().mean(dim=1).var() if chains > 1 else torch.tensor(0.0)
    variance = autocovariance[0] + between
    correlation = 1 - (autocovariance[0] - autocovariance) / variance
    pairs = correlation[: draws // 2 * 2].reshape(-1, 2).sum(dim=1)
    negative = (pairs <= 0).nonzero().flatten()
    kept = pairs[: int(negative[0])] if len(negative) else pairs
    time = 2 * kept.cummin(dim=0).values.sum() - 1
    return float(chains * draws / time.clamp_min(1.0))
