"""Activations: what the model computed on each input, at its end or in every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from anomech.errors import ModelError, SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.progress import Track, silent
from anomech.tasks import SequenceClassificationTask, Task

Layer = Literal["penultimate", "output", "every"]
Seen = dict[str, list[Tensor]]
Watch = Callable[[nn.Module], AbstractContextManager[Seen]]


@dataclass(frozen=True)
class Activations(FeatureExtractor):
    """One vector an input, and for "every" one a layer.

    Attributes:
        layer: "penultimate", the input of the last linear layer; "output", the logits; or "every", the outputs of all
            convolutions and linear layers, averaged over positions. A layer that does not run once an input, or whose
            output does not have the inputs first, is left out.
    """

    layer: Layer = "penultimate"

    def __post_init__(self) -> None:
        if self.layer not in get_args(Layer):
            raise SettingsError(f'layer must be "penultimate", "output" or "every", got {self.layer!r}.')

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Activations of the examples, one forward pass each.

        Raises:
            ModelError: The model has no such layer, or of a text it runs on every token.
            SettingsError: Inputs have no vector of activations each.
        """
        if self.layer == "every" and isinstance(task, SequenceClassificationTask):
            raise SettingsError(
                "activations of every layer are means over positions, and texts differ in how many they have; "
                "choose another detector."
            )
        watch = watch_every if self.layer == "every" else watch_penultimate
        what = f"{self.layer} of {len(examples):,} inputs"
        layers, outputs = watched(task, task.model, examples, watch, track=track, what=what)
        return Features({"output": outputs} if self.layer == "output" else layers, task.own_output(outputs))


def watched(
    task: Task, model: nn.Module, examples: Examples, watch: Watch, *, track: Track, what: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Run a model on examples and see its layers.

    Args:
        task: How the model is run.
        model: The task's own, or one like it.
        examples: n inputs.
        watch: Which layers are seen, and what of them.
        track: How progress is reported.
        what: What that progress is called.

    Returns:
        What was seen of each layer that gave one row an input, `[n, d]`, and the outputs `[n, ...]`; on the CPU.

    Raises:
        ModelError: There is no such layer.
        SettingsError: Inputs have no vector of activations each.
    """
    if not task.has_classes:
        raise SettingsError(
            "activations are compared one vector an input, which this task's inputs do not have; "
            "choose another detector."
        )
    # Before the layers are watched: the first time, this runs the model.
    size = task.fitting(examples)
    batches = track(examples.blocks(size), what, -(-len(examples) // size))
    with watch(model) as seen, torch.no_grad():
        outputs = torch.cat([task.run(model, block.x).float().cpu() for block in batches])
    # What is seen of every token of a text would include its padding.
    by_token = isinstance(task, SequenceClassificationTask)
    layers = {
        name: torch.cat(rows).flatten(1).float()
        for name, rows in seen.items()
        if sum(map(len, rows)) == len(examples) and not (by_token and rows[0].ndim > 2)
    }
    if not layers:
        raise ModelError(
            "no layer of the model that could be compared gives one row of activations an input; "
            "choose another detector."
        )
    return layers, outputs


@contextmanager
def watch_penultimate(model: nn.Module) -> Iterator[Seen]:
    """See what goes into the last linear layer.

    Raises:
        ModelError: The model has none.
    """
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not linear:
        raise ModelError("the model has no linear layer, so it has no penultimate activations to compare.")
    seen: Seen = {"penultimate": []}
    hook = linear[-1].register_forward_pre_hook(lambda _, inputs: seen["penultimate"].append(inputs[0].cpu()))
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def watch_every(model: nn.Module) -> Iterator[Seen]:
    """See what comes out of every convolution and linear layer."""
    found = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | _ConvNd)}
    if not found:
        raise ModelError("the model has no convolution and no linear layer, so it has no activations to compare.")
    seen: Seen = {name: [] for name in found}

    def record(name: str, output: Tensor) -> None:
        if output.ndim > 2:
            # Channels come second in a convolution and last in a linear layer.
            by_channel = output if isinstance(found[name], _ConvNd) else output.movedim(-1, 1)
            output = by_channel.flatten(2).mean(dim=2)
        seen[name].append(output.cpu())

    hooks = [m.register_forward_hook(lambda _, __, y, name=name: record(name, y)) for name, m in found.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
