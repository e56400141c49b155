"""By how much the predicted class moves a number: some classes are explained better than others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

PRIOR_EXAMPLES = 3
"""Examples at the mean of all that a class counts besides its own; chosen on development data."""


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

    def for_classes(self, classes: Tensor) -> Tensor:
        """`[m, d]`, of the classes of m inputs."""
        positions = torch.searchsorted(self.classes, classes).clamp_max(len(self.classes) - 1)
        return self.offsets[torch.where(self.classes[positions] == classes, positions, len(self.classes))]
