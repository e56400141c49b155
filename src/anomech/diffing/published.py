"""Dictionaries of a pair of models as the paper's own code trains them, to reproduce its numbers (arXiv 2605.07324).

Unlike those of `autoencoders`: rows as they are, neither centred nor scaled; one matrix that encodes and, transposed,
decodes, of any norm; features that fall silent stay so. Its ghost gradients set in after 10,000 steps, of about 1,000
that are made, and are left out.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.diffing.cache import PairedActivations
from anomech.diffing.features import PairFeatures, Pairs, without_sinks
from anomech.functional.dictionaries import top_k
from anomech.progress import Track, silent

PENALTY = 1e-4
"""Of the mean code beside the mean squared error."""
RATE = 1e-4
GRADIENT_NORM = 1.0


@dataclass(kw_only=True)
class PublishedDictionary(PairFeatures):
    """A tied dictionary of rows.

    Attributes:
        count: Number of features.
        steps: Steps of Adam; the paper makes those of a hundred passes over the texts.
        batch: Rows in each.
        standardised: Whether rows are centred and scaled first, which the paper's are not.
        seed: Seed of the weights and the batches.
    """

    parts: ClassVar[int]
    """Models that a feature is decoded for."""

    count: int
    steps: int = 1000
    batch: int = 256
    standardised: bool = False
    seed: int = 0

    @abstractmethod
    def rows(self, pairs: PairedActivations) -> Tensor:
        """What is rebuilt, `[n, d]` or `[n, 2 d]`."""

    @abstractmethod
    def activate(self, pre: Tensor) -> Tensor:
        """Codes of pre-activations `[n, count]`."""

    def fit(self, pairs: Pairs, *, track: Track = silent) -> Self:
        """Train it on all texts."""
        rows = torch.cat([self.rows(without_sinks(block)) for block in pairs])
        self._centre = rows.mean(dim=0) if self.standardised else torch.zeros(rows.shape[1])
        self._scale = 1 / float((rows - self._centre).std()) if self.standardised else 1.0
        rows = (rows - self._centre) * self._scale
        generator = torch.Generator().manual_seed(self.seed)
        weights = nn.Parameter(torch.empty(self.count, rows.shape[1]))
        nn.init.kaiming_uniform_(weights, nonlinearity="relu", generator=generator)
        biases = [nn.Parameter(torch.zeros(size)) for size in weights.shape]
        self._weights, (self._encoder_bias, self._decoder_bias) = weights, biases
        trained = [weights, *biases]
        optimizer = torch.optim.Adam(trained, RATE, fused=True)
        left: list[Tensor] = []
        for _ in track(range(self.steps), "training of the dictionary", self.steps):
            left = left or list(rows[torch.randperm(len(rows), generator=generator)].split(self.batch))
            batch = left.pop()
            codes = self._codes(batch)
            loss = F.mse_loss(codes @ weights + self._decoder_bias, batch) + PENALTY * codes.mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, GRADIENT_NORM)
            optimizer.step()
        for parameter in trained:
            parameter.requires_grad_(False)
        return self

    def features(self, pairs: PairedActivations) -> Tensor:
        """Codes `[n, count]`, at least 0."""
        return self._codes((self.rows(pairs) - self._centre) * self._scale)

    @property
    def tuned_directions(self) -> Tensor:
        """What each feature adds to the activations of the fine-tuned model, or to what fine-tuning changed."""
        return self._weights.view(self.count, self.parts, -1)[:, -1]

    def _codes(self, rows: Tensor) -> Tensor:
        return self.activate(F.linear(rows, self._weights, self._encoder_bias))


class PublishedDiffSAE(PublishedDictionary):
    """Of the difference, with a rectifier alone; "Diff-SAE" in the paper."""

    parts = 1

    def rows(self, pairs: PairedActivations) -> Tensor:
        """The difference, `[n, d]`."""
        return pairs.difference

    def activate(self, pre: Tensor) -> Tensor:
        """What is positive."""
        return pre.relu()


@dataclass(kw_only=True)
class PublishedCrosscoder(PublishedDictionary):
    """Of both models side by side, with the k largest codes of each row, which the paper calls BatchTopK.

    Attributes:
        k: Features a row.
    """

    parts: ClassVar[int] = 2

    k: int = 32

    def rows(self, pairs: PairedActivations) -> Tensor:
        """Both models, base first, `[n, 2 d]`."""
        return pairs.joined

    def activate(self, pre: Tensor) -> Tensor:
        """The k largest of each row, where they are positive."""
        return top_k(pre, self.k)
