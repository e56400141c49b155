"""Mahalanobis distance of activations, the baseline that every detector has to beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.errors import SettingsError
from anomech.features import Activations, FeatureExtractor, Features
from anomech.functional.gaussians import Covariance, Gaussians, fit_gaussians

Distance = Literal["class-conditional", "global", "relative"]


@dataclass(kw_only=True)
class Mahalanobis(Detector):
    """Squared distance to the mean of the trusted examples of the predicted class, shared covariance.

    Source: Lee et al. 2018 (arXiv 1807.03888), the distance to the predicted class in place of the nearest one. Where
    no trusted example has the predicted class, the nearest one counts.

    Attributes:
        features: Activations, one vector an input.
        distance: "class-conditional"; "global", the distance to the mean of all, with the covariance around it; or
            "relative", the first less the second (Ren et al. 2021, arXiv 2106.09022), in which what varies alike in
            every class cancels.
        covariance: "shrunk" (Ledoit and Wolf 2004); "pseudo-inverse", which does not count directions in which no
            trusted example varies; or "diagonal", which takes every activation by itself.
        two_sided: Score how far the distance is from its median over trusted examples, each left out. An attack that
            knows of the detector may pull activations closer to the mean of the class than those of any clean input.
    """

    features: FeatureExtractor = field(default_factory=Activations)
    distance: Distance = "class-conditional"
    covariance: Covariance = "shrunk"
    two_sided: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("distance", get_args(Distance)), ("covariance", get_args(Covariance))):
            if getattr(self, name) not in kinds:
                raise SettingsError(f"{name} must be one of {', '.join(kinds)}; got {getattr(self, name)!r}.")

    def fit(self, trusted: Features) -> Self:
        """Learn means `[classes, d]` and covariances `[d, d]`, and how far each trusted example is from the others."""
        super().fit(trusted)
        values, classes = trusted.only_layer, trusted.predictions
        if self.distance != "global":
            self._by_class = fit_gaussians(values, classes, self.covariance)
        if self.distance != "class-conditional":
            self._overall = fit_gaussians(values, torch.zeros_like(classes), self.covariance)
        self._left_out = self._read(trusted, Gaussians.left_out_distances)
        return self

    def score(self, inputs: Features) -> Tensor:
        """Squared distance, or a difference of two, `[m]`; where two-sided its distance from the median."""
        return self._sided(self._read(inputs, Gaussians.distances))

    def trusted_scores(self) -> Tensor:
        """`[n]`, each against all the others.

        The relative kind is the small difference of two large numbers: where most classes have one example or two and
        activations are many times as many as examples, new inputs exceed the highest trusted scores too often.
        """
        return self._sided(self._left_out)

    def _read(self, features: Features, distances: Callable[[Gaussians, Tensor, Tensor], Tensor]) -> Tensor:
        values, classes = features.only_layer, features.predictions
        match self.distance:
            case "class-conditional":
                squares = distances(self._by_class, values, classes)
            case "global":
                squares = distances(self._overall, values, torch.zeros_like(classes))
            case "relative":
                overall = distances(self._overall, values, torch.zeros_like(classes))
                squares = distances(self._by_class, values, classes) - overall
        return squares.float()

    def _sided(self, squares: Tensor) -> Tensor:
        return (squares - self._left_out.median()).abs() if self.two_sided else squares
