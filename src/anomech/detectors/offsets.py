"""By how much its kind moves an input's number: some kinds of inputs are explained better than others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

PRIOR_EXAMPLES = 3
"""Examples at the mean of all that a kind counts besides its own; chosen on development data."""

NEAREST = 5
"""Trusted examples that make up an input's kind where there are no classes; chosen on development data."""

Kin = Tensor
"""What an input is like: its class, `[m]`, or the positions of the trusted examples nearest to it, `[m, k]`."""


@dataclass(frozen=True)
class ClassOffsets:
    """Distances of class means from the mean of all, shrunk to 0 where a class has few examples.

    Attributes:
        classes: Those that there are, ascending, `[c]`.
        offsets: Theirs, and 0 for any other class, `[c + 1, d]`.
        left_out: For each example those of its class without it, `[n, d]`.
    """

    classes: Tensor
    offsets: Tensor
    left_out: Tensor

    @classmethod
    def of(cls, values: Tensor, classes: Tensor) -> Self:
        """From values `[n, d]` of examples of classes `[n]`."""
        known, own, counts = classes.unique(return_inverse=True, return_counts=True)
        deviations = values - values.mean(dim=0)
        sums = deviations.new_zeros(len(known) + 1, values.shape[1]).index_add_(0, own, deviations)
        weights = torch.cat([counts, counts.new_zeros(1)])[:, None] + PRIOR_EXAMPLES
        left_out = (sums[own] - deviations) / (weights[own] - 1)
        return cls(known, sums / weights, left_out)

    def of_inputs(self, classes: Tensor) -> Tensor:
        """`[m, d]`, of the classes of m inputs."""
        positions = torch.searchsorted(self.classes, classes).clamp_max(len(self.classes) - 1)
        return self.offsets[torch.where(self.classes[positions] == classes, positions, len(self.classes))]


@dataclass(frozen=True)
class NeighbourOffsets:
    """Distances of the mean of the nearest examples from the mean of all, shrunk as those of a class are.

    Attributes:
        deviations: Distance of every example from the mean of all, `[n, d]`.
        left_out: For each example the offset by its neighbours, `[n, d]`.
    """

    deviations: Tensor
    left_out: Tensor

    @classmethod
    def of(cls, values: Tensor, nearest: Tensor) -> Self:
        """From values `[n, d]` of examples, and the positions `[n, k]` of the others that are nearest to each."""
        deviations = values - values.mean(dim=0)
        return cls(deviations, _shrunk_mean(deviations, nearest))

    def of_inputs(self, nearest: Tensor) -> Tensor:
        """`[m, d]`, by the positions `[m, k]` of the examples nearest to m inputs."""
        return _shrunk_mean(self.deviations, nearest)


Offsets = ClassOffsets | NeighbourOffsets


def offsets_by(kin: Kin, values: Tensor) -> Offsets:
    """Of values `[n, d]` of examples, by their classes `[n]` or their nearest others `[n, k]`."""
    return (ClassOffsets if kin.ndim == 1 else NeighbourOffsets).of(values, kin)


def nearest(coupling: Tensor) -> Kin:
    """Positions `[m, k]` of the trusted examples that inputs are most strongly coupled to, by `[m, n]`."""
    return coupling.topk(min(NEAREST, coupling.shape[1]), dim=1).indices


def nearest_others(coupling: Tensor) -> Kin:
    """The same for the trusted examples themselves, `[n, k]`, by their coupling `[n, n]` to one another."""
    others = coupling.clone().fill_diagonal_(-torch.inf)
    return others.topk(min(NEAREST, len(coupling) - 1), dim=1).indices


def _shrunk_mean(deviations: Tensor, nearest: Tensor) -> Tensor:
    return deviations[nearest].sum(dim=1) / (nearest.shape[1] + PRIOR_EXAMPLES)
