"""Isotropic weight noise: the sampler without a gradient, the baseline that every other one has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.sampling.base import Sampler
from anomech.sampling.flat import FlatModel
from anomech.tasks import Task


@dataclass(frozen=True, kw_only=True)
class IsotropicNoise(Sampler):
    """Independent draws from `N(w*, sigma^2 I)`; what localised SGLD tends to in flat directions, sigma = gamma^-1/2.

    Attributes:
        sigma: Standard deviation of each weight.
    """

    needs_examples: ClassVar[bool] = False

    sigma: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma > 0:
            raise SettingsError(f"sigma must be positive, got {self.sigma}.")

    @property
    def gradient_passes(self) -> int:
        """None are needed."""
        return 0

    def draw(self, task: Task, examples: Examples | None = None) -> Iterator[FlatModel]:
        """The trained model plus fresh noise at every draw."""
        flat = FlatModel(task.model, self.parameters)
        anchor = flat.weights.clone()
        generator = torch.Generator(device=anchor.device).manual_seed(self.seed)
        for _ in range(self.total_draws):
            noise = torch.randn(anchor.shape, generator=generator, device=anchor.device)
            torch.add(anchor, noise, alpha=self.sigma, out=flat.weights)
            yield flat
