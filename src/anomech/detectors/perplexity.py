"""Perplexity: is the text unusually surprising to the model? One forward pass, no mechanism."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from anomech.detectors.base import Detector
from anomech.features import FeatureExtractor, Features, TokenLosses


@dataclass(kw_only=True)
class Perplexity(Detector):
    """The logarithm of the perplexity, of the completion or of the prompt.

    Greedily chosen tokens are the likeliest, so that of a greedy completion is what the largest softmax probabilities
    say (Hendrycks and Gimpel 2017, arXiv 1610.02136).

    Attributes:
        features: Losses of tokens.
        certain: Is it anomalous to be certain, rather than to be surprised?
    """

    features: FeatureExtractor = field(default_factory=TokenLosses)
    certain: bool = False

    def score(self, inputs: Features) -> Tensor:
        """`[m]`, in nats a token; its negative where certainty is anomalous."""
        losses = inputs.only_layer[:, 0]
        return -losses if self.certain else losses

    def trusted_scores(self) -> Tensor:
        """`[n]`; nothing is fitted, so nothing need be left out."""
        return self.score(self.trusted)
