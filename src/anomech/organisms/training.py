"""Training of small classifiers, seeded, for model organisms."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.errors import ModelError
from anomech.io.atomic import atomic_file
from anomech.organisms.augmentation import flip_and_crop
from anomech.organisms.poisoning import Objective

logger = logging.getLogger(__name__)

Perturbation = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""What takes the place of a batch: of the model in evaluation mode, images `[n, ...]` and classes `[n]`."""


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


def train(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    *,
    objective: Objective | None = None,
    perturb: Perturbation | None = None,
    checkpoint: Path | None = None,
) -> Iterator[float]:
    """Train `model` in place; on a GPU where there is one, in mixed precision.

    Args:
        model: The classifier.
        x: Images `[n, ...]`.
        y: Classes `[n]`.
        recipe: How.
        objective: What is added to the loss; if it is a module, its parameters are trained too.
        perturb: What every batch is replaced by; for adversarial training.
        checkpoint: Where the state is kept after every epoch; training goes on from there if it exists.

    Yields:
        The mean loss of each epoch.

    Raises:
        ModelError: The loss is NaN or infinite.
    """
    state = _Training(model, x, recipe, objective, perturb)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint)
    while state.epoch < recipe.epochs:
        loss = state.run_epoch(x, y)
        if checkpoint is not None:
            state.save(checkpoint)
        yield loss
    state.finish()


class _Training:
    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        recipe: Recipe,
        objective: Objective | None,
        perturb: Perturbation | None,
    ) -> None:
        self.epoch = 0
        self._recipe = recipe
        self._objective = objective
        self._perturb = perturb
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._model = model.to(self._device, memory_format=self._layout)  # type: ignore[call-overload]
        self._generator = torch.Generator().manual_seed(recipe.seed)
        self._modules = nn.ModuleList([model])
        if isinstance(objective, nn.Module):
            self._modules.append(objective.to(self._device))
        self._optimizer = torch.optim.AdamW(
            self._modules.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        steps = recipe.epochs * -(-len(x) // recipe.batch_size)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, recipe.learning_rate, steps)

    def run_epoch(self, x: Tensor, y: Tensor) -> float:
        """Mean loss."""
        self._modules.train()
        total = 0.0
        for batch in torch.randperm(len(x), generator=self._generator).split(self._recipe.batch_size):
            images = flip_and_crop(x[batch], generator=self._generator) if self._recipe.augment else x[batch]
            images, classes = images.to(self._device, memory_format=self._layout), y[batch].to(self._device)
            loss = self._loss(self._perturbed(images, classes), classes)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            total += loss.item() * len(batch)
        self._modules.eval()
        self.epoch += 1
        if not math.isfinite(total):
            raise ModelError("training diverged: the loss is NaN or infinite; lower the learning rate.")
        return total / len(x)

    def finish(self) -> None:
        """All that was trained, on the CPU."""
        self._modules.cpu().eval()

    def save(self, path: Path) -> None:
        with atomic_file(path) as partial:
            torch.save(self._state(), partial)

    def load(self, path: Path) -> None:
        """Take a training up again; a damaged state is said, and nothing of it is kept."""
        before = deepcopy(self._state())
        try:
            self._restore(torch.load(path, map_location=self._device, weights_only=True))
        except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError):
            logger.warning("%s is damaged; training starts again", path)
            self._restore(before)

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "modules": self._modules.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generator": self._generator.get_state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._modules.load_state_dict(state["modules"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._generator.set_state(state["generator"].cpu())
        self.epoch = state["epoch"]

    def _perturbed(self, images: Tensor, y: Tensor) -> Tensor:
        if self._perturb is None:
            return images
        self._modules.eval()
        images = self._perturb(self._model, images, y)
        self._modules.train()
        return images

    def _loss(self, images: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            loss = F.cross_entropy(self._model(images), y)
            if self._objective is not None:
                loss = loss + self._objective(self._model, images, y, self._generator, self.epoch / self._recipe.epochs)
        return loss


def share_predicted(model: nn.Module, x: Tensor, classes: Tensor) -> float:
    """Share of the images `[n, ...]` to which `model` gives these classes `[n]`."""
    return (predictions(model, x) == classes).double().mean().item()


def predictions(model: nn.Module, x: Tensor) -> Tensor:
    """Classes `[n]` that the model gives to images `[n, ...]`."""
    with torch.no_grad():
        return torch.cat([model(block).argmax(1) for block in x.split(1000)])
