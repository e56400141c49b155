"""Whole gradients of single inputs, one at a time: none but the last is held."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.progress import Track, silent
from anomech.sampling.flat import FlatModel
from anomech.tasks import Task


def whole_gradients(task: Task, examples: Examples, *, track: Track = silent, doing: str) -> Iterator[Tensor]:
    """Gradient of the evidence for the model's own output on each example, float32 `[parameters]`.

    That of a loss has the same direction, or the opposite one, but vanishes where the model is certain.

    Args:
        task: Its model is copied.
        examples: Inputs.
        track: How progress is reported.
        doing: What is reported.

    Yields:
        One gradient an example, which the next one overwrites.

    Raises:
        ModelError: The output has no gradient.
    """
    flat = FlatModel(task.model)
    for x in track(examples.x.split(1), doing, len(examples)):
        flat.gradient.zero_()
        outputs = task.run(flat.model, x)
        require_gradient(outputs)
        task.cost.forward_passes += 2
        task.evidence(outputs, task.own_output(outputs.detach())).sum().backward()
        yield flat.gradient


def require_gradient(outputs: Tensor) -> None:
    """Raises ModelError where outputs, or what is made of them, depend on no weight."""
    if not outputs.requires_grad:
        raise ModelError("the model's output has no gradient; it detaches it, or runs under no_grad.")
