"""Typical confidence: is the model as sure as it usually is of this class? One forward pass, no mechanism."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from anomech.detectors.base import Detector
from anomech.features import Activations, FeatureExtractor, Features
from anomech.functional.losses import log_odds


@dataclass(kw_only=True)
class TypicalConfidence(Detector):
    """Distance, in standard deviations, of the log-odds from their mean over trusted examples of the predicted class.

    The control for couplings that see scale: what of their success is the certainty of the answer alone? A class with
    fewer than two trusted examples is measured by all of them.

    Attributes:
        features: Logits.
    """

    features: FeatureExtractor = field(default_factory=lambda: Activations("output"))

    def fit(self, trusted: Features) -> Self:
        """Learn the mean and standard deviation of each class, and of all."""
        super().fit(trusted)
        values = log_odds(trusted.only_layer, trusted.predictions)
        self._overall = values.mean(), values.std()
        self._by_class = {
            int(label): (own.mean(), own.std())
            for label in trusted.predictions.unique()
            if len(own := values[trusted.predictions == label]) > 1
        }
        return self

    def score(self, inputs: Features) -> Tensor:
        """`[m]`, at least 0."""
        moments = [self._by_class.get(label, self._overall) for label in inputs.predictions.tolist()]
        means, spreads = (torch.stack(values) for values in zip(*moments, strict=True))
        distance = (log_odds(inputs.only_layer, inputs.predictions) - means).abs()
        return distance / spreads.clamp_min(torch.finfo(spreads.dtype).eps)
