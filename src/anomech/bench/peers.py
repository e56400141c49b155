"""Other ways to the same couplings: `torch.func` without a sketch, and the published pipeline on devinterp."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from anomech.detectors.coupling import Coupling, Pooling
from anomech.examples import Examples
from anomech.features import FeatureExtractor, Features
from anomech.progress import Track, silent
from anomech.sampling import RMSpropSGLD, Sampler
from anomech.tasks import Task

CHUNK = 128
"""Inputs whose gradients `torch.func` takes at a time."""


@dataclass(frozen=True)
class NaiveGradients(FeatureExtractor):
    """The whole gradient of each input's behaviour, scaled to unit norm, `[n, parameters]`."""

    @property
    def passes_per_input(self) -> int:
        """One for the prediction, one forward, and two for one backward."""
        return 4

    def extract(self, task: Task, examples: Examples, folder: Path, *, track: Track = silent) -> Features:
        """Gradients of the examples, `CHUNK` at a time."""
        predictions = task.predict(examples)
        parameters = {name: p.detach() for name, p in task.model.named_parameters()}

        def evidence(parameters: dict[str, Tensor], one: Tensor, target: Tensor) -> Tensor:
            outputs = functional_call(task.model, parameters, (one[None],))
            return task.evidence(outputs, target[None])[0]

        gradients = vmap(grad(evidence), in_dims=(None, 0, 0))
        unit = []
        for x, targets in zip(examples.x.split(CHUNK), predictions.split(CHUNK), strict=True):
            found = gradients(parameters, x.to(task.device), targets.to(task.device))
            unit.append(F.normalize(torch.cat([g.flatten(1) for g in found.values()], dim=1)).cpu())
        task.cost.forward_passes += 3 * len(examples)
        return Features({"gradient": torch.cat(unit)}, predictions)


@dataclass(kw_only=True)
class NaiveCosine(Coupling):
    """Cosine of whole gradients, the nearest few pooled.

    Attributes:
        features: Gradients of unit norm.
    """

    features: FeatureExtractor = field(default_factory=NaiveGradients)
    pooling: Pooling = "nearest"

    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Both in [-1, 1]."""
        coupling = inputs.only_layer @ self.trusted.only_layer.T
        return self.pool(coupling, inputs.predictions), coupling

    def coupling_left_out(self, rows: Tensor) -> Tensor:
        """`[m, n]`."""
        return self.trusted[rows].only_layer @ self.trusted.only_layer.T


def clock() -> float:
    """Seconds to take differences of; those of this process alone where it has one thread, and shares its core."""
    return process_time() if torch.get_num_threads() == 1 and not torch.cuda.is_available() else perf_counter()


def has_devinterp() -> bool:
    """Whether the peer of the extra `bench` is installed."""
    return find_spec("devinterp") is not None


@dataclass
class Timings:
    """Seconds that each draw took, step and traces apart."""

    steps: list[float] = field(default_factory=list)
    traces: list[float] = field(default_factory=list)


def devinterp(
    task: Task,
    examples: Examples,
    judged: Examples | None,
    sampler: RMSpropSGLD,
    *,
    draws: int,
    now: Callable[[], float] = perf_counter,
) -> tuple[Timings, Tensor]:
    """One chain of devinterp<2, its callback collecting the per-sample losses of the model's own predictions.

    Args:
        task: A classification task.
        examples: Labelled examples for the gradients.
        judged: Inputs whose losses are collected at every draw in evaluation mode, n of them; None for none.
        sampler: Settings of the chain; its burn-in and its number of draws are not used.
        draws: Draws of the chain.
        now: What tells the time.

    Returns:
        What it took, and the losses `[n, draws]`.
    """
    from devinterp.optim.sgmcmc import SGMCMC
    from devinterp.slt.sampler import sample

    assert examples.y is not None
    assert sampler.step_size is not None
    size = min(sampler.batch_size, len(examples))
    collector = _Collector(list(_batches(task, judged)) if judged is not None else [], now)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample(
            # It moves the running statistics of the model that it is given.
            model=copy.deepcopy(task.model),
            loader=DataLoader(TensorDataset(examples.x, examples.y), batch_size=size, shuffle=True, drop_last=True),
            callbacks=[collector],
            evaluate=_mean_loss,
            sampling_method=SGMCMC.rmsprop_sgld,
            optimizer_kwargs={
                "lr": sampler.step_size,
                "nbeta": sampler.nbeta,
                "localization": sampler.gamma,
                "alpha": sampler.alpha,
                "eps": sampler.epsilon,
            },
            num_draws=draws,
            num_chains=1,
            num_steps_bw_draws=sampler.thin,
            seed=sampler.seed,
            device=task.device,
            verbose=False,
        )
    return collector.timings, torch.stack(collector.losses, dim=1) if collector.losses else torch.empty(0, draws)


def draw_seconds(task: Task, examples: Examples, sampler: RMSpropSGLD, *, draws: int) -> tuple[float, float]:
    """Median time from one draw to the next, without traces: devinterp's, and ours on the same settings."""
    theirs, _ = devinterp(task, examples, None, sampler, draws=draws, now=clock)
    return median(theirs.steps), typical_draw(task, examples, sampler)


def typical_draw(task: Task, examples: Examples, sampler: Sampler) -> float:
    """Median time from one of our draws to the next, without traces."""
    times = [clock() for _ in sampler.draw(task, examples)]
    return median(after - before for before, after in pairwise(times))


class _Collector:
    """Called after every step."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]], now: Callable[[], float]) -> None:
        self.timings = Timings()
        self.losses: list[Tensor] = []
        self._batches = batches
        self._now = now
        self._end: float | None = None

    def __call__(self, *, model: nn.Module, loss: Tensor, **_: Any) -> None:
        loss.item()
        start = self._now()
        if self._end is not None:
            self.timings.steps.append(start - self._end)
        if self._batches:
            model.eval()
            self.losses.append(
                torch.cat([F.cross_entropy(model(x), y, reduction="none").cpu() for x, y in self._batches])
            )
        self._end = self._now()
        self.timings.traces.append(self._end - start)


def _mean_loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    x, y = data
    return F.cross_entropy(model(x), y)


def _batches(task: Task, judged: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    size = task.fitting(judged)
    for x, target in zip(judged.x.split(size), task.predict(judged).split(size), strict=True):
        yield x.to(task.device), target.to(task.device)
