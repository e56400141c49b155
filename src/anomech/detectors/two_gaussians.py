"""Two Gaussians: do some inputs of the batch form a group of their own beside the trusted examples?"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from anomech.detectors.whitened_batch import WhitenedBatch
from anomech.functional.two_gaussians import log_odds_of_second


@dataclass(kw_only=True)
class TwoGaussians(WhitenedBatch):
    """Log-odds of activations to be of the second Gaussian in a mixture of two, the first being of trusted examples.

    Source: for mechanistic anomalies arXiv 2504.08812. Of all inputs that are scored together, the second Gaussian is
    fitted on those that the first explains worse, by expectation maximisation. Both are of activations less the mean of
    their class. P-values are those of a `WhitenedBatch`.

    Where activations are about as many as inputs, a Gaussian explains whatever it was fitted on: the second, which at
    first is that of all inputs, keeps them all, and they are ordered as by `LikelihoodRatio`.

    Attributes:
        features: Activations, one vector an input.
    """

    def _among(self, whitened: Tensor) -> Tensor:
        return log_odds_of_second(whitened)
