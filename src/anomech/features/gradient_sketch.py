"""Gradient sketches: how each input's answer would change with the weights of every layer.

To first order the covariance of two loss traces around the trained weights is an inner product of per-sample gradients
(`docs/estimators.md`); sketched once, it takes one backward pass an input in place of a forward pass a draw.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anomech.disk import disk_errors
from anomech.errors import AnomechError, ArtefactError, DataError, SettingsError
from anomech.examples import Examples
from anomech.features.base import FeatureExtractor, Features
from anomech.gradients import GradientSketcher
from anomech.gradients.curvature import gauss_newton_cotangents, whitening
from anomech.gradients.sketcher import VANISHING
from anomech.progress import Track, silent
from anomech.selection import check_selection
from anomech.tasks import Task

CHECKED = 8
"""Examples on which the rule of every layer is compared with autograd."""

Behaviour = Literal["evidence", "loss"]
Preconditioner = Literal["none", "diagonal", "low-rank"]
Precision = Literal["float32", "bfloat16"]


class Plan(NamedTuple):
    """What fitting finds out about a model."""

    general: list[str]
    """Parameters that are differentiated in the general way."""
    silent: list[str]
    """Layers whose gradient is rounding error, and would count as much as any other once it has unit norm."""
    channels_last: bool
    """Whether images may lie in memory channels last."""


@dataclass(frozen=True)
class GradientSketch(FeatureExtractor):
    """Per-sample gradient of the behaviour at the trained weights, randomly projected layer by layer, `[n, d]` each.

    Attributes:
        behaviour: "evidence", for a classifier the log-odds of its prediction, whose gradient stays when the model is
            certain; or "loss", whose gradient vanishes then.
        parameters: "all" of the model's; "adapter", those of its LoRA adapter; "last-K", those of its last K blocks; or
            a regular expression that is searched for in their names. What lies before the first of them costs no
            backward pass.
        size: Directions on each side of a weight matrix: a layer's sketch has at most its square for each parameter.
        preconditioner: Multiply by `(nbeta H + gamma I)^(-1/2)` of each layer, so that inner products are those of
            first-order sampling. H is the Gauss-Newton curvature of the loss on examples set aside, in the
            coordinates of the sketch, whose rank it cannot exceed ("low-rank"), or its diagonal; "none" takes H as 0.
        gamma: Strength of the localisation, with a preconditioner.
        nbeta: Weight of the curvature, with a preconditioner.
        precision: "bfloat16" runs the model under autocast: faster where the hardware has it, less exact.
        seed: Seed of the projections.
    """

    behaviour: Behaviour = "evidence"
    parameters: str = "all"
    size: int = 24
    preconditioner: Preconditioner = "none"
    gamma: float = 10_000.0
    nbeta: float = 100.0
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kinds in (("behaviour", Behaviour), ("preconditioner", Preconditioner), ("precision", Precision)):
            if getattr(self, name) not in get_args(kinds):
                raise SettingsError(f"{name} must be one of {', '.join(get_args(kinds))}; got {getattr(self, name)!r}.")
        check_selection(self.parameters)
        if self.size < 1:
            raise SettingsError(f"size must be at least 1, got {self.size}.")
        if not 0 < self.gamma < math.inf or not 0 <= self.nbeta < math.inf:
            raise SettingsError("gamma must be positive, and nbeta must not be negative; both finite.")

    @property
    def needs_examples(self) -> bool:
        """Whether a curvature is estimated."""
        return self.preconditioner != "none"

    @property
    def passes_per_input(self) -> int:
        """One forward, and two for one backward."""
        return 3

    def width(self, model: nn.Module) -> int:
        """Numbers that the sketches of one input take."""
        return self._sketcher(model).width

    def fit(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> None:
        """Find out which parameters need the general way, and the curvature if it is wanted."""
        with disk_errors(folder, choose="TMPDIR"):
            (folder / "plan.json").write_text(json.dumps(self._plan(task, _spread(examples.x))))
            if self.preconditioner != "none":
                save_file(self._whitening(task, examples, folder, track), folder / "whitening.safetensors")

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Sketches of the examples by layer, a forward and a backward pass each.

        Raises:
            DataError: The gradient of an input is NaN or infinite.
        """
        predictions: list[Tensor] = []
        layers: dict[str, list[Tensor]] = {}
        sketch = self._sketching(task, folder, partial(self._cotangents, task))
        whiten = load_file(folder / "whitening.safetensors") if self.preconditioner != "none" else {}
        size = task.fitting(examples)
        batches = -(-len(examples) // size)
        for block in track(examples.blocks(size), f"gradients of {len(examples):,} inputs", batches):
            outputs, (sketches,) = sketch(block.x)
            predictions.append(task.own_output(outputs).cpu())
            for name, sketched in sketches.items():
                values = sketched @ whiten[name] if whiten else sketched
                _require_finite(values, block)
                layers.setdefault(name, []).append(values)
        return Features({name: torch.cat(values) for name, values in layers.items()}, torch.cat(predictions))

    def differentiable(self, task: Task, x: Tensor, folder: Path) -> Features:
        """The sketches that `extract` gives, through which a gradient goes back to inputs `[n, ...]` that require one.

        It takes a forward and a backward pass an input, and going back through both takes twice as much again.
        """
        plan = _read_plan(folder)
        whiten = load_file(folder / "whitening.safetensors") if self.preconditioner != "none" else {}
        sketcher = self._sketcher(task.model, plan.general)
        measure = task.evidence if self.behaviour == "evidence" else task.loss
        outputs, found = sketcher.differentiable(
            task.run, x.to(task.device), lambda outputs: measure(outputs, task.own_output(outputs.detach()))
        )
        task.cost.forward_passes += (8 + 9 * bool(sketcher.general)) * len(x)
        layers = _without_rounding(_by_layer(found), plan.silent)
        return Features(
            {name: values @ whiten[name] if whiten else values for name, values in layers.items()},
            task.own_output(outputs.detach()).cpu(),
        )

    def _sketcher(self, model: nn.Module, general: Sequence[str] = ()) -> GradientSketcher:
        return GradientSketcher(model, size=self.size, seed=self.seed, general=general, parameters=self.parameters)

    def _plan(self, task: Task, x: Tensor) -> dict[str, Any]:
        """What trying it on a few inputs says of the model: see `Plan`."""
        x, cotangents = x.to(task.device), partial(self._cotangents, task)
        sketcher = self._sketcher(task.model)
        general = sketcher.unfaithful(task.outputs, x, cotangents)
        sketcher = self._sketcher(task.model, general)
        _, (sketches,) = sketcher.sketch(task.outputs, x, cotangents)
        norms = {name: float(values.norm()) for name, values in _by_layer(sketches).items()}
        return Plan(
            general=general,
            silent=[name for name, norm in norms.items() if 0 < norm < VANISHING * max(norms.values())],
            channels_last=_accepts_channels_last(task, x),
        )._asdict()

    def _sketching(
        self, task: Task, folder: Path, cotangents: Callable[[Tensor], list[Tensor]]
    ) -> Callable[[Tensor], tuple[Tensor, list[dict[str, Tensor]]]]:
        """What sketches a batch of inputs `[n, ...]` by layer as fitting planned."""
        plan = _read_plan(folder)
        sketcher = self._sketcher(task.model, plan.general)
        order = torch.channels_last if plan.channels_last else torch.preserve_format
        reduced = self.precision == "bfloat16"

        def sketch(x: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
            with torch.autocast(task.device.type, dtype=torch.bfloat16, enabled=reduced):
                outputs, sketches = sketcher.sketch(task.run, x.to(task.device, memory_format=order), cotangents)
            # Parameters that go the general way take a forward and a backward pass of their own.
            task.cost.forward_passes += (2 + 3 * bool(sketcher.general)) * len(x) * len(sketches)
            return outputs.float(), [_without_rounding(_by_layer(found), plan.silent) for found in sketches]

        return sketch

    def _cotangents(self, task: Task, outputs: Tensor) -> list[Tensor]:
        """Derivatives of the behaviour with respect to the outputs, in double precision, which not all devices have."""
        exact = outputs.cpu().double()
        targets = task.own_output(exact)
        with torch.enable_grad():
            exact.requires_grad_()
            value = task.evidence(exact, targets) if self.behaviour == "evidence" else task.loss(exact, targets)
            (derivative,) = torch.autograd.grad(value.sum(), exact)
        return [derivative.to(outputs)]

    def _whitening(self, task: Task, examples: Examples, folder: Path, track: Track) -> dict[str, Tensor]:
        """The matrix `[d, d]` that each layer's sketches are multiplied by."""
        curvature: dict[str, Tensor] = {}
        sketch = self._sketching(task, folder, partial(gauss_newton_cotangents, task))
        size = task.fitting(examples)
        batches = -(-len(examples) // size)
        for block in track(examples.blocks(size), f"curvature on {len(examples):,} examples", batches):
            for sketches in sketch(block.x)[1]:
                for name, values in sketches.items():
                    square = values.double().T @ values.double() / len(examples)
                    curvature[name] = curvature[name] + square if name in curvature else square
        diagonal = self.preconditioner == "diagonal"
        return {
            name: whitening(matrix, gamma=self.gamma, nbeta=self.nbeta, diagonal=diagonal).float()
            for name, matrix in curvature.items()
        }


def _read_plan(folder: Path) -> Plan:
    try:
        return Plan(**json.loads((folder / "plan.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ArtefactError(f"{folder} lacks what fitting found ({error}); fit the auditor again.") from error


def _by_layer(sketches: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sketches of the parameters of each layer side by side, `[n, d]`, on the CPU."""
    layers: dict[str, list[Tensor]] = {}
    for name, values in sketches.items():
        layers.setdefault(name.rpartition(".")[0] or name, []).append(values.cpu())
    return {name: torch.cat(values, dim=1) for name, values in layers.items()}


def _without_rounding(layers: dict[str, Tensor], silent: list[str]) -> dict[str, Tensor]:
    """Layers that are not silent, with zeros for the gradients of single inputs that are rounding error."""
    kept = {name: values for name, values in layers.items() if name not in silent}
    largest = torch.stack([values.abs().amax(dim=1) for values in kept.values()])
    rounding = largest < VANISHING * largest.amax(dim=0)
    return {
        name: values.masked_fill(rows[:, None], 0) for (name, values), rows in zip(kept.items(), rounding, strict=True)
    }


def _spread(x: Tensor) -> Tensor:
    """A few inputs from all over, since the first ones are often alike."""
    return x[torch.linspace(0, len(x) - 1, CHECKED).round().long().unique()]


def _accepts_channels_last(task: Task, x: Tensor) -> bool:
    """Whether the model runs on images whose channels lie last in memory, which convolutions are faster on."""
    if x.ndim != 4:
        return False
    try:
        with torch.no_grad():
            expected, found = (
                task.outputs(task.model, x.to(memory_format=order))
                for order in (torch.contiguous_format, torch.channels_last)
            )
    except (RuntimeError, AnomechError):
        return False
    return torch.allclose(expected, found, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def _require_finite(values: Tensor, block: Examples) -> None:
    finite = values.isfinite().all(dim=1)
    if not finite.all():
        first = block.ids[int((~finite).nonzero()[0])]
        raise DataError(f"the model's gradient is NaN or infinite on input {first!r}; check its weights and the input.")
