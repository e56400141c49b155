"""Conformal p-values, thresholds, and what a number of flags means.

Scores are higher where an input is more anomalous. Nothing here ever needs an anomaly.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor


def p_values(calibration: Tensor, scores: Tensor) -> Tensor:
    """`(1 + #{calibration >= score}) / (n + 1)`: at most uniform for an input exchangeable with the calibration set.

    Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005).

    Args:
        calibration: Scores of the n trusted examples, each left out of its own reference, `[n]`.
        scores: `[m]`.

    Returns:
        `[m]`, in [1 / (n + 1), 1].
    """
    ascending = calibration.sort().values
    at_least = len(ascending) - torch.searchsorted(ascending, scores, side="left")
    return (1 + at_least).double() / (len(ascending) + 1)


def rank_at(fpr: float, n: int) -> int:
    """One more than the calibration scores, of n, that may reach a flagged score; 0 if nothing can be flagged."""
    return math.floor(fpr * (n + 1) + 1e-9)


def threshold(calibration: Tensor, fpr: float) -> float:
    """The value above which a score is flagged at the false-positive rate `fpr`; infinite where n is too small."""
    rank = rank_at(fpr, len(calibration))
    return calibration.sort(descending=True).values[rank - 1].item() if rank else math.inf


def false_discovery(p: Tensor, rate: float) -> Tensor:
    """Which inputs are discoveries at the false-discovery rate `rate` (Benjamini and Hochberg 1995), bool `[m]`."""
    return torch.from_numpy(np.asarray(stats.false_discovery_control(p.numpy()) <= rate))


def flags_by_chance(n: int, m: int, fpr: float, flagged: int) -> float:
    """Probability that at least `flagged` of m clean inputs are flagged, n calibration scores given.

    Exact for continuous scores: the count is beta-binomial (Angelopoulos and Bates 2023, section 3.2).
    """
    rank = rank_at(fpr, n)
    if rank == 0:
        return 1.0 if flagged == 0 else 0.0
    return float(stats.betabinom.sf(flagged - 1, m, rank, n + 1 - rank))


def realised_fpr_range(n: int, m: int, fpr: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Central range in which the share of m clean inputs that is flagged lies with probability `confidence`."""
    rank = rank_at(fpr, n)
    if rank == 0:
        return 0.0, 0.0
    low, high = stats.betabinom.interval(confidence, m, rank, n + 1 - rank)
    return float(low / m), float(high / m)
