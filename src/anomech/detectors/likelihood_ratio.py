"""Likelihood ratio: is an input likelier as one of the batch than as one of the trusted examples?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.detectors.whitened_batch import WhitenedBatch
from anomech.functional.likelihood_ratio import log_likelihood_ratio


@dataclass(kw_only=True)
class LikelihoodRatio(WhitenedBatch):
    """Log-density of activations under a Gaussian fitted on all inputs scored together, less that of trusted examples.

    Source: Neyman and Pearson 1933; for mechanistic anomalies arXiv 2504.08812. Both Gaussians are of activations less
    the mean of their class. That of the inputs is shrunk towards the trusted one, so that where inputs are few the two
    hardly differ. P-values are those of a `WhitenedBatch`.

    Attributes:
        features: Activations, one vector an input.
    """

    def _among(self, whitened: Tensor) -> Tensor:
        return log_likelihood_ratio(whitened, torch.ones(len(whitened)).double())
