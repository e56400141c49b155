"""Activations: what the model computed on each input, at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from anomech.errors import ModelError, SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.progress import Track, silent
from anomech.tasks import Task


@dataclass(frozen=True)
class Activations(FeatureExtractor):
    """One vector an input.

    Attributes:
        layer: "penultimate", the input of the last linear layer; or "output", the logits.
    """

    layer: Literal["penultimate", "output"] = "penultimate"

    def __post_init__(self) -> None:
        if self.layer not in ("penultimate", "output"):
            raise SettingsError(f'layer must be "penultimate" or "output", got {self.layer!r}.')

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Activations of the examples, one forward pass each."""
        size = task.fitting(examples)
        seen: list[Tensor] = []
        hook = _last_linear(task.model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
        predictions, outputs = [], []
        try:
            with torch.no_grad():
                for block in track(
                    examples.blocks(size), f"{self.layer} of {len(examples):,} inputs", -(-len(examples) // size)
                ):
                    logits = task.run(task.model, block.x)
                    predictions.append(task.own_output(logits).cpu())
                    outputs.append(logits.cpu())
        finally:
            hook.remove()
        values = seen if self.layer == "penultimate" else outputs
        return Features({self.layer: torch.cat(values).flatten(1)}, torch.cat(predictions))


def _last_linear(model: nn.Module) -> nn.Linear:
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ModelError("the model has no linear layer, so it has no penultimate activations to compare.")
    return linear[-1]
