"""What every sampler says: how many draws, and the model at each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.sampling.flat import FlatModel
from anomech.selection import check_selection
from anomech.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """Draws models around the trained one. The same seed gives the same draws on the same machine.

    Attributes:
        chains: Independent chains.
        draws: Draws kept from each chain.
        parameters: "all" of the model's; "adapter", those of its LoRA adapter; "last-K", those of its last K blocks; or
            a regular expression that is searched for in their names. The others stay as trained.
        seed: Seed of everything random in it.
    """

    needs_examples: ClassVar[bool]
    """Does it take gradients on labelled examples of its own?"""

    chains: int = 2
    draws: int = 75
    parameters: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.chains < 1 or self.draws < 2:
            raise SettingsError(f"chains must be at least 1 and draws at least 2, got {self.chains} and {self.draws}.")
        check_selection(self.parameters)

    @property
    def total_draws(self) -> int:
        """Draws over all chains."""
        return self.chains * self.draws

    @property
    @abstractmethod
    def gradient_passes(self) -> int:
        """Inputs that all chains pass forward and backward together."""

    @abstractmethod
    def draw(self, task: Task, examples: Examples | None) -> Iterator[FlatModel]:
        """The perturbed model at every kept draw, chain after chain; one object, changed in place between draws.

        Args:
            task: Task whose model is drawn around.
            examples: Labelled examples for the gradient, disjoint from those that are scored; None if none are needed.
        """
