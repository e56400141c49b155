"""Training of small classifiers, seeded, for model organisms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with a one-cycle learning rate.

    Attributes:
        epochs: Passes over the training data.
        batch_size: Examples a step.
        learning_rate: Peak of the cycle.
        weight_decay: Decoupled weight decay.
        seed: Seed of the initial weights and of the order of the examples.
    """

    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    seed: int = 0


def train(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Iterator[float]:
    """Train `model` in place on images `[n, ...]` with classes `[n]`; yields the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = -(-len(x) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.epochs * steps)
    for _ in range(recipe.epochs):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(recipe.batch_size):
            loss = F.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        model.eval()
        yield total / len(x)
