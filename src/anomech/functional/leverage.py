"""Ridge leverage: how much of a vector no combination of other vectors explains.

Ridge regression of a vector `u` on the rows of `U` leaves `damping * u' (U'U + damping I)^-1 u` of its square
unexplained: `damping` times its ridge leverage score (Alaoui and Mahoney 2015, arXiv 1411.0306), and the variance that
a Gaussian process with the kernel `u.v` keeps at `u` after it has seen `U`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def whitener(rows: Tensor, damping: float) -> Tensor:
    """The matrix `[d, d]` that a vector is multiplied by for the square of its length to be what is unexplained.

    Args:
        rows: The vectors that explain, float64 `[n, d]`.
        damping: Share of a unit vector that counts as noise, positive.
    """
    identity = torch.eye(rows.shape[1], dtype=rows.dtype)
    factor = torch.linalg.cholesky(rows.T @ rows + damping * identity)
    inverse: Tensor = torch.linalg.solve_triangular(factor, damping**0.5 * identity, upper=False).T
    return inverse


def unexplained(rows: Tensor, whitener: Tensor) -> Tensor:
    """Square of what no combination explains, `[m]`, of rows `[m, d]`; of a unit vector in (0, 1]."""
    return (rows @ whitener).square().sum(dim=1)


def unexplained_by_others(rows: Tensor, whitener: Tensor, damping: float) -> Tensor:
    """The same for each of the rows that explain, with itself left out, `[n]`; exact, by Sherman and Morrison."""
    leverage = unexplained(rows, whitener) / damping
    return damping * leverage / (1 - leverage).clamp_min(torch.finfo(rows.dtype).tiny)


def unexplained_without(rows: Tensor, whitener: Tensor, damping: float, parts: Sequence[Tensor]) -> Tensor:
    """The same with all rows of a part left out too, for one part after the other.

    Args:
        rows: The vectors that explain, float64 `[n, d]`.
        whitener: Theirs.
        damping: The one that it was made with.
        parts: Positions of the rows of each part.

    Returns:
        What the rows outside the part leave unexplained of each, `[parts, n]`: of those in the part, and of each of the
        others with itself left out. It is exact, by the inverse of a matrix as large as the part.
    """
    scaled = rows @ whitener / damping**0.5
    explained = scaled @ scaled.T
    return torch.stack([damping * _without(explained, part) for part in parts])


def _without(explained: Tensor, part: Tensor) -> Tensor:
    """Leverage `[n]` among the rows outside a part, from the hat matrix `[n, n]` of all rows."""
    own = explained[part]
    kept = torch.eye(len(part), dtype=own.dtype) - own[:, part]
    grown = torch.linalg.solve(kept, own)
    leverage: Tensor = explained.diagonal() + (own * grown).sum(dim=0)
    leverage /= 1 - leverage
    leverage[part] = grown[:, part].diagonal()
    return leverage
