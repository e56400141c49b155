"""Poisoned training data: a share of the examples carries the trigger and the attacker's label."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.examples import Examples
from anomech.organisms.triggers import PatchTrigger, Trigger


@dataclass(frozen=True, kw_only=True)
class Poisoning:
    """All-to-one poisoning (BadNets, arXiv 1708.06733).

    Attributes:
        trigger: What is added to an image.
        rate: Share of the training examples that is poisoned.
        target: Class that a triggered image is to be given.
        seed: Seed of the choice of examples.
    """

    trigger: Trigger = field(default_factory=PatchTrigger)
    rate: float = 0.05
    target: int = 0
    seed: int = 0

    def poison(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Training images and labels with `rate` of them, none of the target class, triggered and relabelled."""
        generator = torch.Generator().manual_seed(self.seed)
        candidates = (y != self.target).nonzero().flatten()
        chosen = candidates[torch.randperm(len(candidates), generator=generator)[: round(self.rate * len(y))]]
        x, y = x.clone(), y.clone()
        x[chosen] = self.trigger(x[chosen])
        y[chosen] = self.target
        return x, y

    def attack(self, clean: Examples) -> Examples:
        """The examples that are not of the target class, triggered; they keep their true classes.

        Raises:
            ValueError: `clean` has no labels.
        """
        if clean.y is None:
            raise ValueError("attacking examples needs their true classes")
        victims = clean[clean.y != self.target]
        return Examples(
            x=self.trigger(victims.x),
            y=victims.y,
            ids=tuple(f"{name}+trigger" for name in victims.ids),
            anomalous=torch.ones(len(victims), dtype=torch.bool),
            target=torch.full((len(victims),), self.target),
        )
