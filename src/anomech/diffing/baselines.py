"""What a sceptic tries before a sparse autoencoder: projections of the difference that take no training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from anomech.diffing.cache import PairedActivations
from anomech.diffing.features import PairFeatures, Pairs, without_sinks
from anomech.errors import DataError
from anomech.functional.attribution import principal_directions
from anomech.progress import Track, silent


class Projections(PairFeatures):
    """Projections of the difference on some directions, each with both signs.

    A direction of one sign may have no high values where there is a trigger, and the sign of most has no meaning.
    """

    def fit(self, pairs: Pairs, *, track: Track = silent) -> Self:
        """Find the mean difference, and the directions.

        Raises:
            DataError: There are no texts of a kind that is needed.
        """
        self._mean = _mean_difference(pairs)
        self._directions = self.directions(pairs, self._mean).float()
        return self

    def features(self, pairs: PairedActivations) -> Tensor:
        """Projections less those of the mean difference, `[n, 2 k]` on k directions, then with the other sign."""
        projected = (pairs.difference - self._mean.float()) @ self._directions.T
        return torch.cat([projected, -projected], dim=1)

    @property
    def tuned_directions(self) -> Tensor:
        """The directions, then the same with the other sign, `[2 k, d]`."""
        return torch.cat([self._directions, -self._directions])

    @abstractmethod
    def directions(self, pairs: Pairs, mean: Tensor) -> Tensor:
        """Rows `[k, d]`, given the mean difference float64 `[d]`."""


@dataclass(kw_only=True)
class MeanDifference(Projections):
    """One direction: what fine-tuning added on average, or to some texts more than to others.

    Source: of all texts, Minder et al. 2025 (arXiv 2510.13900).

    Attributes:
        triggered: Numbers of texts that are known to hold the trigger; the direction is then that from the mean of
            others to theirs. Other texts than those that scores are reported on.
    """

    triggered: tuple[int, ...] = ()

    def directions(self, pairs: Pairs, mean: Tensor) -> Tensor:
        """`[1, d]`."""
        if not self.triggered:
            return mean[None]
        with_it, without = (_mean_difference(pairs, self.triggered, of_them=known) for known in (True, False))
        return (with_it - without)[None]


@dataclass(kw_only=True)
class PrincipalComponents(Projections):
    """The directions along which the difference varies most.

    Attributes:
        components: How many, at most as many as there are coordinates.
    """

    components: int = 32

    def directions(self, pairs: Pairs, mean: Tensor) -> Tensor:
        """`[components, d]`, the first first."""
        scatter = torch.zeros(len(mean), len(mean)).double()
        for difference, _ in _differences(pairs):
            centred = difference - mean
            scatter += centred.T @ centred
        return principal_directions(scatter[None], self.components)[0]


@dataclass(kw_only=True)
class RandomFeatures(Projections):
    """Random directions: a dictionary that was never trained.

    On a large shift of the mean these reach the ceiling of the backdoor isolation score.

    Attributes:
        count: How many.
        seed: Seed of these.
    """

    count: int = 1024
    seed: int = 0

    def directions(self, pairs: Pairs, mean: Tensor) -> Tensor:
        """`[count, d]`, of unit norm."""
        drawn = torch.randn(self.count, len(mean), generator=torch.Generator().manual_seed(self.seed))
        return torch.nn.functional.normalize(drawn, dim=1)


@dataclass(kw_only=True)
class Coordinates(Projections):
    """The coordinates of the difference as they are."""

    def directions(self, pairs: Pairs, mean: Tensor) -> Tensor:
        """`[d, d]`."""
        return torch.eye(len(mean))


def _differences(pairs: Pairs) -> Iterator[tuple[Tensor, Tensor]]:
    """Float64 `[n, d]`, and the text of each, `[n]`, of every block."""
    for block in pairs:
        kept = without_sinks(block)
        yield kept.difference.double(), kept.text


def _mean_difference(pairs: Pairs, texts: tuple[int, ...] = (), *, of_them: bool = False) -> Tensor:
    """Float64 `[d]`, of these texts or of all others."""
    count, total = 0, torch.zeros(()).double()
    for difference, text in _differences(pairs):
        chosen = difference[torch.isin(text, torch.tensor(texts)) == of_them]
        count, total = count + len(chosen), total + chosen.sum(dim=0)
    if not count:
        raise DataError("there are no activations of texts with the trigger, or of those without; give both kinds.")
    return total / count
