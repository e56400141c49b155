"""Activations: what the model computed on each input, at its end or in every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from anomech.errors import DataError, ModelError, SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.features.modules import Position, Seen, at_tokens, mean_over_places, select_modules, watch_modules
from anomech.features.row_store import RowStore
from anomech.progress import Track, silent
from anomech.tasks import CausalLMTask, SequenceClassificationTask, Task
from anomech.tasks.tokens import check_tokens, is_prompt, misplaced, trimmed

OF_CLASSIFIERS = ("penultimate", "output", "every")
TOKENS = (CausalLMTask, SequenceClassificationTask)

Watch = Callable[[Tensor], AbstractContextManager[Seen]]


@dataclass(frozen=True)
class Activations(FeatureExtractor):
    """One vector an input, or several, of which each is a layer.

    Attributes:
        layer: Of classifiers "penultimate", the input of the last linear layer; "output", the logits; or "every", the
            outputs of all convolutions and linear layers. Of any model the outputs of the modules that have such a
            name, or one that ends so: "features.3", "layers.*" for the residual stream after every block of a
            transformer, "*.mlp,*.self_attn". A module that does not run once an input, or whose output does not have
            the inputs first, is left out.
        position: Which tokens of a prompt, or of a text that is classified, outputs are taken at: the "mean" over all,
            the "last", or those at such positions, each a layer of its own; a negative one counts from the end. Of
            other inputs the mean over all places, as of a feature map.
    """

    layer: str = "penultimate"
    position: Position = "mean"

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str) or not all(map(str.strip, self.layer.split(","))):
            raise SettingsError(
                f'layer must be "penultimate", "output", "every" or names of modules, as "*.mlp"; got {self.layer!r}.'
            )
        chosen = isinstance(self.position, tuple) and self.position and {type(p) for p in self.position} == {int}
        if not chosen and self.position not in ("mean", "last"):
            raise SettingsError(f'position must be "mean", "last" or whole numbers, got {self.position!r}.')
        if self.position != "mean" and self.layer in ("penultimate", "output"):
            raise SettingsError(f"{self.layer} activations have no positions; leave position out, or name modules.")

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Activations of the examples, one forward pass each.

        Raises:
            DataError: An input is padded on the left, or has no token at a chosen position.
            ModelError: The model has no such layer, or of a text it runs on every token.
            SettingsError: The task has no classes, no module has such a name, or inputs have no positions.
        """
        if self.layer in OF_CLASSIFIERS:
            require_classes(task)
        what = f"{self.layer} of {len(examples):,} inputs"
        layers, outputs = watched(task, task.model, examples, self._watch(task, examples), track=track, what=what)
        if self.layer == "output":
            layers = {"output": outputs}
        return Features(self._by_position(layers), task.own_output(outputs))

    def _watch(self, task: Task, examples: Examples) -> Watch:
        if self.layer in ("penultimate", "output"):
            return lambda _: watch_penultimate(task.model)
        modules = _weighted(task.model) if self.layer == "every" else select_modules(task.model, self.layer)
        if isinstance(task, TOKENS):
            self._check_tokens(examples)
            return lambda x: watch_modules(modules, at_tokens(is_prompt(trimmed(x)), self.position))
        if self.position != "mean":
            raise SettingsError('only prompts and texts have positions to choose from; leave position at "mean".')
        return lambda _: watch_modules(modules, mean_over_places)

    def _check_tokens(self, examples: Examples) -> None:
        check_tokens(examples.x)
        counted = is_prompt(examples.x)
        padded = misplaced(counted).nonzero().flatten()
        if len(padded):
            raise DataError(
                f"{len(padded)} of {len(examples)} inputs, first {examples.ids[int(padded[0])]!r}, have something "
                "before or within their prompt; pad them on the right, as join_tokens and pad_tokens do."
            )
        positions = self.position if isinstance(self.position, tuple) else (0,)
        needed = max(p + 1 if p >= 0 else -p for p in positions)
        short = (counted.sum(dim=1) < needed).nonzero().flatten()
        if len(short):
            raise DataError(
                f"{len(short)} of {len(examples)} inputs, first {examples.ids[int(short[0])]!r}, have fewer than "
                f"{needed} tokens to read, so none at position={self.position}; choose others, or leave these out."
            )

    def _by_position(self, layers: dict[str, Tensor]) -> dict[str, Tensor]:
        """Every chosen position a layer of its own."""
        if not isinstance(self.position, tuple):
            return layers
        parts = {name: values.chunk(len(self.position), dim=1) for name, values in layers.items()}
        return {f"{name} at {p}": v for name, part in parts.items() for p, v in zip(self.position, part, strict=True)}


def require_classes(task: Task) -> None:
    """Raises SettingsError where a task has no classes, and so no one layer at its end that says which."""
    if not task.has_classes:
        raise SettingsError(
            "activations are compared one vector an input, which this task's inputs do not have; "
            "choose another detector, or activations of modules by name."
        )


def watched(
    task: Task, model: nn.Module, examples: Examples, watch: Watch, *, track: Track, what: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Run a model on examples and see its layers.

    Args:
        task: How the model is run.
        model: The task's own, or one like it.
        examples: n inputs.
        watch: Which layers are seen while a batch of inputs `[b, ...]` is run, and what of them.
        track: How progress is reported.
        what: What that progress is called.

    Returns:
        What was seen of each layer that gave one row an input, `[n, d]`, and the outputs `[n, ...]`; on the CPU, layers
        on disk if they are large.

    Raises:
        ModelError: There is no such layer.
        StorageError: The disk is full.
    """
    # Before the layers are watched: the first time, this runs the model.
    size = task.fitting(examples)
    outputs: list[Tensor] = []
    kept = RowStore(len(examples))
    # What the last layer is given for every token of a text would include its padding.
    by_token = isinstance(task, SequenceClassificationTask)
    for block in track(examples.blocks(size), what, -(-len(examples) // size)):
        with watch(block.x) as found, torch.no_grad():
            outputs.append(task.run(model, block.x).float().cpu())
        kept.add(
            {
                name: rows
                for name, rows in found.items()
                if not (by_token and name == "penultimate" and rows and rows[0].ndim > 2)
            }
        )
    layers = kept.layers()
    if not layers:
        raise ModelError(
            "no layer of the model that could be compared gives one row of activations an input; "
            "choose another detector."
        )
    return layers, torch.cat(outputs)


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


def _weighted(model: nn.Module) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | _ConvNd)}
    if not found:
        raise ModelError("the model has no convolution and no linear layer, so it has no activations to compare.")
    return found
