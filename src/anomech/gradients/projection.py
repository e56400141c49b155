"""Random projections of the gradient of one parameter, seen as a matrix.

The gradient `G` `[rows, columns]` of a layer is a sum over positions of outer products of output gradients and inputs.
Projected on both sides, `P G Q^T`, that sum can be taken over projected vectors, and `G` is never formed.
Inner products are kept in expectation (Johnson and Lindenstrauss 1984; two-sided as LoGra, arXiv 2405.13954).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Projection:
    """Both sides of a two-sided projection.

    Attributes:
        left: `P` `[p, rows]`.
        right: `Q` `[q, columns]`.
    """

    left: Tensor
    right: Tensor

    @classmethod
    def random(cls, rows: int, columns: int, *, size: int, name: str, seed: int) -> Self:
        """At most `size` a side, and the identity where there are no more rows or columns than that.

        A single column leaves its side unused, so `size ** 2` may go to the other.

        Args:
            rows: Rows of the matrix.
            columns: Columns of the matrix.
            size: Largest p and q.
            name: Name of the parameter; each gets directions of its own.
            seed: Seed of the directions.
        """
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        return cls(
            _directions(rows, size**2 if columns == 1 else size, generator),
            _directions(columns, size**2 if rows == 1 else size, generator),
        )

    def __call__(self, gradient: Tensor) -> Tensor:
        """Sketches `[n, p * q]` of gradients `[n, rows, columns]`."""
        projected: Tensor = self.left @ gradient @ self.right.T
        return projected.flatten(1)

    def to(self, device: torch.device) -> Projection:
        """The projection on a device."""
        return Projection(self.left.to(device), self.right.to(device))


def _directions(dimension: int, size: int, generator: torch.Generator) -> Tensor:
    if dimension <= size:
        return torch.eye(dimension)
    signs: Tensor = 2 * torch.randint(2, (size, dimension), generator=generator).float() - 1
    return signs.div(size**0.5)
