"""Which few directions of a model's weights carry what it does on a cluster of inputs, and what it does without them.

A layer's mean gradient over the cluster, less what gradients of trusted examples span, is nearly of low rank where one
mechanism answers all of it. Half of the cluster finds the directions; everything is told of the other half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.explain.removal import Effect, removal_effects
from anomech.features.modules import select_modules
from anomech.functional.carriers import Carrier, find_carrier
from anomech.functional.directions import directions
from anomech.gradients.whole import whole_gradients
from anomech.progress import Track, silent
from anomech.tasks import Task

Pieces = dict[str, Tensor]
"""Gradients by parameter, `[..., out, in]`."""

FEWEST = 10
"""Inputs on either side of a comparison."""
GROUPS = 5
"""Random groups of clean inputs that directions are sought of, too, as a control."""
VALUES = 8
"""Singular values that are told."""


@dataclass(frozen=True, kw_only=True)
class LayerDirections:
    """What a layer's directions hold.

    Attributes:
        name: Of the parameter.
        shape: Of the weights as a matrix.
        values: The largest singular values of what trusted examples leave of the cluster's mean gradient, as shares of
            the norm of all.
        left: Norm of that over the norm of the mean gradient.
        share: Share of the energy of the cluster's gradients in this layer that lies in the directions.
        control: The same of random groups of clean inputs and the directions that they have, in the mean.
    """

    name: str
    shape: tuple[int, int]
    values: tuple[float, ...]
    left: float
    share: float
    control: float


@dataclass(frozen=True, kw_only=True)
class WeightDirections:
    """The directions of all layers, and what the model does without them.

    Attributes:
        rank: Directions a layer.
        layers: In the order of the model.
        effects: Of taking all of these directions out of the weights.
        carriers: The directions themselves, by name of the parameter.
    """

    rank: int
    layers: tuple[LayerDirections, ...]
    effects: tuple[Effect, ...]
    carriers: Mapping[str, Carrier] = field(compare=False, repr=False)

    def plain(self) -> dict[str, Any]:
        """As JSON takes it, without the directions themselves."""
        return asdict(replace(self, carriers={}))

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        told = "; ".join(f"{e.what} {e.before:.1%} before, {e.after:.1%} after" for e in self.effects)
        number = sum(min(self.rank, *layer.shape) for layer in self.layers)
        return f"Without {number} directions of the weights, {self.rank} a layer: {told}.".replace("%", " %")


def weight_directions(
    task: Task,
    trusted: Examples,
    *,
    clean: Examples,
    cluster: Examples,
    layers: str | None = None,
    rank: int = 1,
    seed: int = 0,
    track: Track = silent,
) -> WeightDirections:
    """The directions that carry a cluster, for two backward passes an input; no gradient of an input is held.

    Args:
        task: The model, which is not changed.
        trusted: Trusted examples, whose mean gradients, one for each answer, are left alone.
        clean: Inputs that are taken to be normal.
        cluster: Inputs that are answered by one mechanism, such as those that were flagged.
        layers: Modules, as `select_modules` takes them; by default all that have a matrix.
        rank: How many directions of each.
        seed: Seed of the random groups.
        track: How progress is reported.

    Raises:
        DataError: There are too few inputs to halve.
        SettingsError: The model is no classifier, no such layer has weights that are a matrix, or memory is short.
    """
    if not task.has_classes:
        raise SettingsError("what a model does without directions of its weights is told of classifiers alone.")
    for name, examples in (("cluster", cluster), ("clean inputs", clean)):
        if len(examples) < 2 * FEWEST:
            raise DataError(f"{len(examples)} of the {name} cannot be halved to check directions; give {2 * FEWEST}.")
    matrices = _Matrices(task.model, layers)
    answers = task.predict(trusted)
    members = _one_hot(answers) if answers.ndim == 1 else torch.ones(len(trusted), 1, dtype=torch.bool)
    _check_memory(matrices.size, members.shape[1] + GROUPS)
    means = partial(_mean_gradients, task, matrices, track=track)
    spanned = means(trusted, members)
    first = torch.arange(len(cluster)) % 2 == 0
    groups = _random_groups(len(clean), min(len(cluster), len(clean)), seed=seed)
    ours, theirs = means(cluster[first], torch.ones(int(first.sum()), 1, dtype=torch.bool)), means(clean, groups == 0)
    found = [
        {name: find_carrier(mean[name][i], spanned[name], rank=rank) for name in matrices.shapes}
        for mean in (ours, theirs)
        for i in range(len(next(iter(mean.values()))))
    ]
    rest = cluster[~first]
    shares = partial(_held_shares, task, matrices, track=track)
    held = shares(rest, torch.ones(len(rest), 1, dtype=torch.bool), found[:1])
    controls = shares(clean, groups == 1, found[1:])
    return WeightDirections(
        rank=rank,
        layers=tuple(
            LayerDirections(
                name=name,
                shape=shape,
                values=tuple((found[0][name].values / found[0][name].values.norm())[:VALUES].tolist()),
                left=float(found[0][name].values.norm() / ours[name].norm()),
                share=float(held[name]),
                control=float(controls[name].mean()),
            )
            for name, shape in matrices.shapes.items()
        ),
        effects=removal_effects(task, trusted, clean, rest, removed=found[:2]),
        carriers=found[0],
    )


class _Matrices:
    """Where the weights of layers lie among all weights, each as a matrix `[out, in]`."""

    def __init__(self, model: nn.Module, layers: str | None) -> None:
        modules = [model] if layers is None else select_modules(model, layers).values()
        chosen = {id(p) for module in modules for p in module.parameters()}
        self.shapes: dict[str, tuple[int, int]] = {}
        self._starts: dict[str, int] = {}
        start = 0
        for name, p in model.named_parameters():
            if id(p) in chosen and p.ndim > 1 and min(len(p), p[0].numel()) > 1:
                self.shapes[name], self._starts[name] = (len(p), p[0].numel()), start
            start += p.numel()
        if not self.shapes:
            raise SettingsError(
                f"{layers or 'the model'} has no weights that are a matrix; choose linear or convolutional layers."
            )
        self.size = sum(rows * columns for rows, columns in self.shapes.values())

    def pieces(self, gradient: Tensor) -> Pieces:
        """The parts of a gradient `[parameters]`, of unit norm before."""
        (unit,), _ = directions(gradient.cpu()[None])
        return {
            name: unit[self._starts[name] :][: rows * columns].view(rows, columns)
            for name, (rows, columns) in self.shapes.items()
        }


def _mean_gradients(task: Task, matrices: _Matrices, examples: Examples, members: Tensor, *, track: Track) -> Pieces:
    """Mean of the gradients of every group, bool `[n, groups]`, `[groups, out, in]`."""
    sums = {name: torch.zeros(members.shape[1], *shape) for name, shape in matrices.shapes.items()}
    for gradient, groups in _of_members(task, examples, members, track):
        for name, piece in matrices.pieces(gradient).items():
            sums[name][groups] += piece
    return {name: total / members.sum(0)[:, None, None] for name, total in sums.items()}


def _held_shares(
    task: Task,
    matrices: _Matrices,
    examples: Examples,
    members: Tensor,
    found: Sequence[Mapping[str, Carrier]],
    *,
    track: Track,
) -> Pieces:
    """Share of the energy of the gradients of every group that its own directions hold, in the mean, `[groups]`."""
    sums = {name: torch.zeros(len(found), dtype=torch.float64) for name in matrices.shapes}
    for gradient, groups in _of_members(task, examples, members, track):
        for name, piece in matrices.pieces(gradient).items():
            for group in groups.tolist():
                sums[name][group] += found[group][name].share(piece)
    return {name: total / members.sum(0) for name, total in sums.items()}


def _of_members(task: Task, examples: Examples, members: Tensor, track: Track) -> Iterator[tuple[Tensor, Tensor]]:
    """Gradient of every example that is in a group, and its groups."""
    chosen = members.any(1)
    doing = f"gradients of {int(chosen.sum()):,} inputs"
    gradients = whole_gradients(task, examples[chosen], track=track, doing=doing)
    for gradient, groups in zip(gradients, members[chosen], strict=True):
        yield gradient, groups.nonzero().flatten()


def _random_groups(n: int, size: int, *, seed: int) -> Tensor:
    """In which half of each random group an example is, 0 or 1, or -1 where it is in neither, int64 `[n, GROUPS]`."""
    generator = torch.Generator().manual_seed(seed)
    halves = torch.full((n, GROUPS), -1)
    for group in halves.T:
        chosen = torch.randperm(n, generator=generator)[:size]
        group[chosen] = torch.arange(size) % 2
    return halves


def _one_hot(answers: Tensor) -> Tensor:
    """Which answer each example has, bool `[n, answers]`."""
    members: Tensor = answers[:, None] == answers.unique()
    return members


def _check_memory(size: int, number: int) -> None:
    # The means, their double, and what a decomposition of them takes.
    needed, free = 4 * size * 4 * number, psutil.virtual_memory().available
    if needed > free:
        raise SettingsError(
            f"directions of {size:,} weights take {needed / 2**30:,.0f} GB of memory, {free / 2**30:,.0f} GB are free; "
            "choose some layers with --layers."
        )
