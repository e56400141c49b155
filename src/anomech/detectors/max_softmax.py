"""Maximum softmax probability: is the model unsure? The cheapest baseline."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from anomech.detectors.base import Detector
from anomech.features import Activations, FeatureExtractor, Features
from anomech.functional.losses import log_odds


@dataclass(kw_only=True)
class MaxSoftmax(Detector):
    """Negative log-odds of the predicted class, which orders inputs as one minus the largest probability does.

    Source: Hendrycks and Gimpel 2017 (arXiv 1610.02136).

    Attributes:
        features: Logits.
    """

    features: FeatureExtractor = field(default_factory=lambda: Activations("output"))

    def score(self, inputs: Features) -> Tensor:
        """`[m]`; log-odds do not round to a tie where the probability rounds to 1."""
        return -log_odds(inputs.only_layer, inputs.predictions)
