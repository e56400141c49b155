"""Quantum entropy: does an input lie where the batch varies more than trusted examples do?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from anomech.detectors.whitened_batch import WhitenedBatch
from anomech.errors import SettingsError
from anomech.functional.quantum_entropy import quantum_entropy


@dataclass(kw_only=True)
class QuantumEntropy(WhitenedBatch):
    """Quantum entropy score of activations, whitened by the trusted ones, among all inputs that are scored together.

    Source: Dong, Hopkins, Li 2019 (arXiv 1906.11366); for backdoors SPECTRE, Hayase et al. 2021 (arXiv 2104.11315),
    which estimates mean and covariance robustly from the batch where trusted examples give them here, and keeps a few
    principal components where a shrunk covariance keeps all. Activations are taken less the mean of their class, so
    that one batch holds all classes. P-values are those of a `WhitenedBatch`.

    Attributes:
        features: Activations, one vector an input.
        alpha: How much the directions of most excess variance count for more.
    """

    alpha: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise SettingsError(f"alpha must be a number of at least 0, got {self.alpha}.")

    def _among(self, whitened: Tensor) -> Tensor:
        return quantum_entropy(whitened, self.alpha)
