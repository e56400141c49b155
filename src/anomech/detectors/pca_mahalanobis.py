"""Mahalanobis distance among the principal components of activations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.errors import SettingsError
from anomech.features import Activations, FeatureExtractor, Features
from anomech.functional.gaussians import fit_gaussians


@dataclass(kw_only=True)
class PCAMahalanobis(Detector):
    """Squared distance to the mean of the predicted class, as `Mahalanobis` has it, after projection.

    Activations are projected on the first principal components of the trusted ones, of all classes together, so that
    directions in which these differ little do not count. Every trusted example moves the components, so trusted scores
    are those of ten folds.

    Attributes:
        features: Activations, one vector an input.
        components: Principal components that count, or all if there are fewer.
    """

    features: FeatureExtractor = field(default_factory=Activations)
    components: int = 32

    def __post_init__(self) -> None:
        if self.components < 1:
            raise SettingsError(f"components must be at least 1, got {self.components}.")

    def fit(self, trusted: Features) -> Self:
        """Learn the components `[components, d]`, and means and covariance in them.

        Raises:
            DataError: The activations do not vary within the classes.
        """
        super().fit(trusted)
        values = trusted.only_layer.double()
        self._axes: Tensor = torch.linalg.svd(values - values.mean(dim=0), full_matrices=False).Vh[: self.components]
        self._gaussians = fit_gaussians(self._projected(trusted), trusted.predictions)
        return self

    def score(self, inputs: Features) -> Tensor:
        """`[m]`, at least 0."""
        return self._gaussians.distances(self._projected(inputs), inputs.predictions).float()

    def _projected(self, features: Features) -> Tensor:
        return features.only_layer.double() @ self._axes.T
