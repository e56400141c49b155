"""How much likelier a row is among some than among clean ones."""

from __future__ import annotations

import torch
from torch import Tensor


def log_likelihood_ratio(whitened: Tensor, weights: Tensor) -> Tensor:
    """Log-density of each row under a Gaussian that is fitted on weighted rows, less that under the standard normal.

    The covariance is fitted as if d rows of the standard normal were among the others, so that it is never singular:
    the mode of a conjugate prior, as in Fraley and Raftery 2007 (doi 10.1007/s00357-007-0004-5), section 3.

    Args:
        whitened: Rows that would have mean 0 and covariance I if all were clean, float64 `[n, d]`.
        weights: How much each row counts in the fit, in [0, 1], not all 0; float64 `[n]`.

    Returns:
        Float64 `[n]`.
    """
    total, d = weights.sum(), whitened.shape[1]
    centred = whitened - weights @ whitened / total
    scatter = (weights * centred.T) @ centred
    factor = torch.linalg.cholesky((scatter + d * torch.eye(d).double()) / (total + d))
    squares = torch.linalg.solve_triangular(factor, centred.T, upper=False).square().sum(dim=0)
    ratio: Tensor = (whitened.square().sum(dim=1) - squares) / 2 - factor.diagonal().log().sum()
    return ratio
