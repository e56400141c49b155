"""Mahalanobis distance of activations, the baseline that every detector has to beat."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.errors import SettingsError
from anomech.features import Activations, FeatureExtractor, Features
from anomech.functional.gaussians import fit_gaussians

Distance = Literal["class-conditional", "global", "relative"]


@dataclass(kw_only=True)
class Mahalanobis(Detector):
    """Squared distance to the mean of the trusted examples of the predicted class, shared covariance.

    Source: Lee et al. 2018 (arXiv 1807.03888), the distance to the predicted class in place of the nearest one;
    shrinkage by Ledoit and Wolf 2004. Where no trusted example has the predicted class, the nearest one counts.

    Attributes:
        features: Activations, one vector an input.
        distance: "class-conditional"; "global", the distance to the mean of all, with the covariance around it; or
            "relative", the first less the second (Ren et al. 2021, arXiv 2106.09022), in which what varies alike in
            every class cancels.
        two_sided: Score how far the distance is from its median over trusted examples, each left out. An attack that
            knows of the detector may pull activations closer to the mean of the class than those of any clean input.
    """

    features: FeatureExtractor = field(default_factory=Activations)
    distance: Distance = "class-conditional"
    two_sided: bool = False

    def __post_init__(self) -> None:
        if self.distance not in get_args(Distance):
            raise SettingsError(f"distance must be one of {', '.join(get_args(Distance))}; got {self.distance!r}.")

    def fit(self, trusted: Features) -> Self:
        """Learn the means `[classes, d]` and covariances `[d, d]`, and where two-sided the median distance."""
        super().fit(trusted)
        values = trusted.only_layer
        if self.distance != "global":
            self._by_class = fit_gaussians(values, trusted.predictions)
        if self.distance != "class-conditional":
            self._overall = fit_gaussians(values, torch.zeros_like(trusted.predictions))
        if self.two_sided:
            self._left_out = replace(self, two_sided=False).fit(trusted).trusted_scores()
        return self

    def score(self, inputs: Features) -> Tensor:
        """Squared distance, or a difference of two, `[m]`; where two-sided its distance from the median."""
        values, classes = inputs.only_layer, inputs.predictions
        match self.distance:
            case "class-conditional":
                squares = self._by_class.distances(values, classes)
            case "global":
                squares = self._overall.distances(values, classes)
            case "relative":
                squares = self._by_class.distances(values, classes) - self._overall.distances(values, classes)
        return self._sided(squares.float())

    def trusted_scores(self) -> Tensor:
        """`[n]`: each against all the others; of the relative kind, fitted on the other folds of ten.

        The relative kind is the small difference of two large numbers. Where most classes have one example or two, new
        inputs exceed trusted examples that are left out one by one too often.
        """
        if self.two_sided:
            return self._sided(self._left_out)
        values, classes = self.trusted.only_layer, self.trusted.predictions
        match self.distance:
            case "class-conditional":
                return self._by_class.left_out_distances(values, classes).float()
            case "global":
                return self._overall.left_out_distances(values, torch.zeros_like(classes)).float()
            case "relative":
                return super().trusted_scores()

    def _sided(self, squares: Tensor) -> Tensor:
        return (squares - self._left_out.median()).abs() if self.two_sided else squares
