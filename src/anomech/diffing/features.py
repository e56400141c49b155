"""The contract of whatever turns the activations of a pair of models into features, and of features into scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from anomech.diffing.cache import PairedActivations
from anomech.errors import DataError
from anomech.progress import Track, silent

SINK = 10.0
"""Times the median norm beyond which a token is an attention sink, as the first often is (arXiv 2402.17762)."""
ROWS = 4096
"""Places that features are computed of at a time."""

Pairs = Sequence[PairedActivations]
"""A layer of a cache, or blocks in memory."""


class PairFeatures(ABC):
    """Features of what two models computed at a place; the higher, the more of it is there."""

    @abstractmethod
    def fit(self, pairs: Pairs, *, track: Track = silent) -> Self:
        """Learn the features."""

    @abstractmethod
    def features(self, pairs: PairedActivations) -> Tensor:
        """Features `[n, m]` of n places."""

    @property
    @abstractmethod
    def tuned_directions(self) -> Tensor:
        """What each feature stands for in the residual stream of the fine-tuned model, `[m, d]`."""


def without_sinks(pairs: PairedActivations) -> PairedActivations:
    """The places at which neither model has an activation that dwarfs those of the other tokens."""
    ordinary = (pairs.norms <= SINK * pairs.norms.median(dim=0).values).all(dim=1)
    return pairs[ordinary]


def features_in_parts(learnt: PairFeatures, pairs: Pairs) -> Iterator[tuple[PairedActivations, Tensor]]:
    """Places that can be read, a few at a time, and their features `[n, m]`."""
    for block in pairs:
        kept = without_sinks(block)
        for places in torch.arange(len(kept)).split(ROWS):
            yield kept[places], learnt.features(kept[places])


def features_by_text(learnt: PairFeatures, pairs: Pairs, texts: int) -> Tensor:
    """Largest value of each feature over the places of each text, float32 `[texts, m]`.

    Raises:
        DataError: A text has no place that can be read.
    """
    largest: Tensor | None = None
    seen = torch.zeros(texts, dtype=torch.bool)
    for kept, values in features_in_parts(learnt, pairs):
        seen[kept.text] = True
        if largest is None:
            largest = torch.full((texts, values.shape[1]), -torch.inf)
        largest.scatter_reduce_(0, kept.text[:, None].expand_as(values), values, "amax")
    if largest is None or not seen.all():
        first = int((~seen).nonzero()[0])
        raise DataError(
            f"{int((~seen).sum())} of {texts} texts, first number {first}, have no activations to read; "
            "cache all of them, with more than one token each."
        )
    return largest
