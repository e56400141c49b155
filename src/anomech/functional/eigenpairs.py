"""The largest eigenvalues of a matrix that is only known by what it does to a vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from anomech.errors import SettingsError

TOLERANCE = 1e-3
"""Relative accuracy of eigenvalues."""


def largest_eigenpairs(
    multiply: Callable[[Tensor], Tensor], size: int, count: int, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Largest eigenvalues of a symmetric matrix, by Lanczos iteration with implicit restarts (ARPACK, in scipy).

    Args:
        multiply: The product of the matrix with a vector, float32 `[size]`.
        size: Rows of the matrix.
        count: How many eigenvalues, fewer than `size`.
        seed: Seed of the starting vector.

    Returns:
        Eigenvalues `[count]`, the largest first, and orthonormal eigenvectors `[size, count]`, both float32.

    Raises:
        SettingsError: There are not so many eigenvalues, they are not told apart, or all are zero.
    """
    if not 0 < count < size:
        raise SettingsError(
            f"{count} directions of {size:,} weights; take at least 1, and fewer than there are weights."
        )
    matrix = LinearOperator(
        (size, size), matvec=lambda v: multiply(torch.from_numpy(np.array(v)).flatten()).numpy(), dtype=np.float32
    )
    start = torch.randn(size, generator=torch.Generator().manual_seed(seed)).numpy()
    try:
        values, vectors = eigsh(
            matrix,
            count,
            which="LA",
            v0=start,
            ncv=lanczos_vectors(size, count),
            tol=TOLERANCE,
            maxiter=10 * count + 100,
        )
    except ArpackNoConvergence as error:
        raise SettingsError(
            f"only {len(error.eigenvalues)} of {count} directions could be told apart; take fewer of them."
        ) from error
    except ArpackError as error:
        raise SettingsError(
            "there are no sharp directions: all curvature is zero, as where no output depends on the weights or "
            "gradients vanish everywhere; check the model and its activations."
        ) from error
    return torch.from_numpy(values).flip(0), torch.from_numpy(vectors).flip(1)


def lanczos_vectors(size: int, count: int) -> int:
    """Vectors of that size that are held while `count` eigenvalues are sought."""
    return min(size, 2 * count + 10)
