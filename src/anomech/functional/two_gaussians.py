"""A mixture of clean rows, which are known to be standard normal, and of others, which are only known to be Gaussian.

Source: expectation maximisation, Dempster, Laird and Rubin 1977.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anomech.functional.likelihood_ratio import log_likelihood_ratio

ROUNDS = 100
"""Most that are made."""
TOLERANCE = 1e-6
"""Change of a probability at which the mixture has settled."""


def log_odds_of_second(whitened: Tensor) -> Tensor:
    """Log-odds that each row is of the second Gaussian of a mixture of two, of which the first is the standard normal.

    At first every row is as likely of either, so that the second Gaussian is that of all. It is fitted as in
    `log_likelihood_ratio`, and its share of the rows as if one more were of each.

    Args:
        whitened: Rows that would have mean 0 and covariance I if all were clean, float64 `[n, d]`.

    Returns:
        Float64 `[n]`.
    """
    n = len(whitened)
    shares = torch.full((n,), 0.5).double()
    for _ in range(ROUNDS):
        log_odds = log_likelihood_ratio(whitened, shares) + ((shares.sum() + 1) / (n + 2)).logit()
        before, shares = shares, log_odds.sigmoid()
        if (shares - before).abs().max() < TOLERANCE:
            break
    return log_odds
