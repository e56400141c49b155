"""Training of small classifiers, seeded, for model organisms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.organisms.augmentation import flip_and_crop


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with a one-cycle learning rate.

    Attributes:
        epochs: Passes over the training data.
        batch_size: Examples a step.
        learning_rate: Peak of the cycle.
        weight_decay: Decoupled weight decay.
        augment: Whether images are mirrored and shifted at random.
        channels_last: Whether images and weights have that layout in training, which is faster on processors.
        seed: Seed of the initial weights, of the order of the examples and of the augmentation.
    """

    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    augment: bool = False
    channels_last: bool = False
    seed: int = 0


def train(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Iterator[float]:
    """Train `model` in place on images `[n, ...]` with classes `[n]`; yields the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(recipe.seed)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = -(-len(x) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.epochs * steps)
    for _ in range(recipe.epochs):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(recipe.batch_size):
            images = flip_and_crop(x[batch], generator=generator) if recipe.augment else x[batch]
            loss = F.cross_entropy(model(images.contiguous(memory_format=layout)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        model.eval()
        yield total / len(x)


def share_predicted(model: nn.Module, x: Tensor, classes: Tensor) -> float:
    """Share of the images `[n, ...]` to which `model` gives these classes `[n]`."""
    with torch.no_grad():
        predictions = torch.cat([model(block).argmax(1) for block in x.split(1000)])
    return (predictions == classes).double().mean().item()
