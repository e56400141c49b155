"""What a model does without some directions of its weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomech.examples import Examples
from anomech.functional.carriers import Carrier
from anomech.tasks import Task


@dataclass(frozen=True)
class Effect:
    """A share of inputs, as the model is, without the directions, and without those of a random clean group."""

    what: str
    before: float
    after: float
    control: float


def without(model: nn.Module, carriers: Mapping[str, Carrier]) -> nn.Module:
    """A copy of a model whose parameters have no component along these directions, by name of the parameter."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in copied.named_parameters():
            if name in carriers:
                p.copy_(carriers[name].taken_from(p.cpu().flatten(1)).view_as(p))
    return copied


def removal_effects(
    task: Task, trusted: Examples, clean: Examples, cluster: Examples, *, removed: Sequence[Mapping[str, Carrier]]
) -> tuple[Effect, ...]:
    """What the model does as it is, and without each of two sets of directions.

    Args:
        task: The model, which is not changed.
        trusted: Trusted examples.
        clean: Inputs that are taken to be normal.
        cluster: Inputs that the directions are said to carry.
        removed: Those directions, and others as a control, by name of the parameter.
    """
    models = [task.model, *(without(task.model, found) for found in removed)]
    told: dict[str, list[float]] = {}
    for model in models:
        for what, examples, expected in _measures(task, trusted, clean, cluster):
            told.setdefault(what, []).append(_share_answered(task, model, examples, expected))
    return tuple(Effect(what, *shares) for what, shares in told.items())


def _measures(
    task: Task, trusted: Examples, clean: Examples, cluster: Examples
) -> Iterator[tuple[str, Examples, Tensor]]:
    """What is measured: answers as the attacker or the truth has them, or where that is unknown, as they are now."""
    if cluster.target is not None:
        yield "attack success", cluster, cluster.target
    else:
        yield "answers of the cluster that stay", cluster, task.predict(cluster)
    if cluster.y is not None:
        yield "accuracy on the cluster", cluster, cluster.y
    if clean.y is not None:
        yield "accuracy on clean inputs", clean, clean.y
    else:
        yield "answers to other inputs that stay", clean, task.predict(clean)
    yield "trusted answers that stay", trusted, task.predict(trusted)


def _share_answered(task: Task, model: nn.Module, examples: Examples, expected: Tensor) -> float:
    right = answers(task, model, examples) == expected
    return float(right.flatten(1).all(1).double().mean()) if right.ndim > 1 else float(right.double().mean())


def answers(task: Task, model: nn.Module, examples: Examples) -> Tensor:
    """What this model, the task's or a changed copy of it, answers to the examples, on the CPU."""
    with torch.no_grad():
        blocks = examples.blocks(task.fitting(examples))
        return torch.cat([task.own_output(task.run(model, block.x)).cpu() for block in blocks])
