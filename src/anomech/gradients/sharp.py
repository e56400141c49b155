"""The sharpest directions of a loss, and how much of a vector of weights lies in them."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.functional.eigenpairs import lanczos_vectors, largest_eigenpairs
from anomech.gradients.curvature import hessian_product
from anomech.tasks import Task


@dataclass(frozen=True)
class SharpDirections:
    """Eigenvectors of the Hessian of a mean loss that have the largest eigenvalues.

    Attributes:
        eigenvalues: The largest first, `[k]`.
        vectors: Orthonormal, `[parameters, k]`.
        sizes: Weights of each parameter, in the order of the model.
    """

    eigenvalues: Tensor
    vectors: Tensor
    sizes: tuple[int, ...]

    def along(self, rows: Tensor) -> Tensor:
        """Coordinates of rows `[n, parameters]` in the directions, float64 `[n, k]`."""
        return (rows.float() @ self.vectors).double()

    def energies(self, rows: Tensor) -> Tensor:
        """Squared norm of rows `[n, parameters]` in each parameter, float64 `[n, parameters of the model]`."""
        return torch.stack([piece.square().sum(1) for piece in rows.double().split(self.sizes, dim=1)], dim=1)

    def matched(self, energies: Tensor) -> Tensor:
        """Mean squared coordinates `[n, k]` of random vectors that have these energies in the parameters."""
        spread = torch.stack([v.square().sum(0, dtype=torch.float64) for v in self.vectors.split(self.sizes)])
        return energies / torch.tensor(self.sizes).clamp_min(1) @ spread


def sharp_directions(task: Task, trusted: Examples, *, count: int, seed: int = 0) -> SharpDirections:
    """The sharpest directions of the mean loss on trusted examples, at the model's weights.

    Args:
        task: The model, which is not changed.
        trusted: Trusted examples; where they have no `y`, the model's own outputs are the targets.
        count: Number of directions.
        seed: Seed of the search for them.

    Raises:
        SettingsError: Memory is short, or there are not so many directions.
    """
    sizes = tuple(p.numel() for p in task.model.parameters())
    _check_memory(sum(sizes), count)
    values, vectors = largest_eigenpairs(hessian_product(task, trusted), sum(sizes), count, seed=seed)
    return SharpDirections(values, vectors, sizes)


def _check_memory(size: int, count: int) -> None:
    needed, free = 4 * size * (lanczos_vectors(size, count) + count), psutil.virtual_memory().available
    if count < size and needed > free:
        raise SettingsError(
            f"{count} directions of {size:,} weights take {needed / 2**30:,.0f} GB of memory, {free / 2**30:,.0f} GB "
            "are free; take fewer with --directions."
        )
