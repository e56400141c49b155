"""Products of two thin matrices, as low-rank adapters are."""

from __future__ import annotations

import torch
from torch import Tensor


def cut_rank(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors of the matrix of lower rank that comes closest to a product (Eckart and Young 1936).

    Args:
        up: `[m, r]`.
        down: `[r, n]`.
        rank: Largest rank wanted.

    Returns:
        Factors `[m, k]` and `[k, n]` with k at most `rank` and r, of equal norms column by row.
    """
    # The product itself is never formed: an SVD of its r x r core gives that of the whole.
    left, left_core = torch.linalg.qr(up)
    right, right_core = torch.linalg.qr(down.T)
    u, s, vh = torch.linalg.svd(left_core @ right_core.T)
    root = s[:rank].sqrt()
    return left @ u[:, :rank] * root, root[:, None] * (vh[:rank] @ right.T)
