"""Mahalanobis distance of activations, the baseline that every detector has to beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.features import Activations, FeatureExtractor, Features


@dataclass(kw_only=True)
class Mahalanobis(Detector):
    """Squared distance to the mean of the trusted examples of the predicted class, shared covariance.

    Source: Lee et al. 2018 (arXiv 1807.03888), the distance to the predicted class in place of the nearest one;
    shrinkage by Ledoit and Wolf 2004. Where no trusted example has the predicted class, the nearest one counts.

    Attributes:
        features: Activations, one vector an input.
    """

    features: FeatureExtractor = field(default_factory=Activations)

    def fit(self, trusted: Features) -> Mahalanobis:
        """Learn class means `[classes, d]` and the shared covariance `[d, d]`."""
        super().fit(trusted)
        values = trusted.only_layer.double()
        self._classes, members = trusted.predictions.unique(return_inverse=True)
        self._means = torch.stack([values[members == c].mean(dim=0) for c in range(len(self._classes))])
        residuals = values - self._means[members]
        covariance = torch.from_numpy(
            LedoitWolf(assume_centered=True, store_precision=False).fit(residuals.numpy()).covariance_
        )
        self._cholesky = torch.linalg.cholesky(covariance)
        return self

    def score(self, inputs: Features) -> Tensor:
        """Squared distance `[m]`."""
        distances = torch.cdist(self._whiten(inputs.only_layer.double()), self._whiten(self._means)).square()
        own = inputs.predictions[:, None] == self._classes
        known = own.any(dim=1, keepdim=True)
        return distances.masked_fill(known & ~own, torch.inf).amin(dim=1).float()

    def _whiten(self, values: Tensor) -> Tensor:
        whitened: Tensor = torch.linalg.solve_triangular(self._cholesky, values.T, upper=False)
        return whitened.T
