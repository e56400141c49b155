"""Directions of a matrix of weights that carry one behaviour and not others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Carrier:
    """Orthogonal directions `u v^T` of weights `[out, in]`.

    Attributes:
        values: Singular values of what they were found in, all of them, the largest first.
        left: The vectors u of the r largest, `[out, r]`.
        right: Their vectors v, `[in, r]`.
    """

    values: Tensor
    left: Tensor
    right: Tensor

    def along(self, weights: Tensor) -> Tensor:
        """Coordinates of weights `[..., out, in]` in the directions, `[..., r]`."""
        return torch.einsum("or,...oi,ir->...r", self.left, weights.to(self.left), self.right)

    def share(self, gradients: Tensor) -> Tensor:
        """Share of the energy of gradients `[..., out, in]` that lies in the directions, `[...]`; of zeros it is 0."""
        energy = gradients.to(self.left).square().sum((-1, -2))
        return self.along(gradients).square().sum(-1) / energy.clamp_min(torch.finfo(energy.dtype).tiny)

    def taken_from(self, weights: Tensor) -> Tensor:
        """Weights `[out, in]` less their component along each direction."""
        return (weights.to(self.left) - self.left * self.along(weights) @ self.right.T).to(weights)


def find_carrier(gradient: Tensor, others: Tensor, *, rank: int) -> Carrier:
    """The directions in which a gradient leaves the span of others the most.

    Args:
        gradient: Of a behaviour, `[out, in]`.
        others: Of behaviours that are to be left alone, `[c, out, in]`.
        rank: How many directions; all, where there are fewer.

    Returns:
        The directions, float64.
    """
    flat = gradient.double().flatten()
    left, values, _ = torch.linalg.svd(others.double().flatten(1).T, full_matrices=False)
    basis = left[:, values > torch.finfo(torch.float32).eps * values[:1]]
    rest = (flat - basis @ (basis.T @ flat)).view_as(gradient)
    u, s, vh = torch.linalg.svd(rest, full_matrices=False)
    return Carrier(s, u[:, :rank], vh[:rank].T)
