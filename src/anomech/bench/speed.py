"""What scoring costs: seconds, forward passes and memory of every estimator and of its peers, in one run.

A row is computed in a process of its own, so that its peak of memory is its own. A ratio compares work that was done in
turns, so that whatever else the machine does slows both sides.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.bench import peers
from anomech.bench.setup import Scene, Setup
from anomech.bench.suite import Row
from anomech.detectors import Detector, GradientSpan, TraceCoupling
from anomech.errors import AnomechError
from anomech.evaluation import Figures, evaluate
from anomech.examples import Examples, concatenate
from anomech.features import Features, GradientSketch, LossTraces
from anomech.measure import measured
from anomech.sampling import IsotropicNoise, LangevinSampler, RMSpropSGLD, Sampler
from anomech.tasks import Task

logger = logging.getLogger(__name__)

COLUMNS = [
    "organism",
    "detector",
    "seconds",
    "fit_seconds",
    "seconds_per_1000",
    "forward_equivalents",
    "times_floor",
    "auroc",
    "auroc_low",
    "auroc_high",
    "tpr_at_fpr_1",
    "realised_fpr_1",
    "flags_changed",
    "base_memory_mb",
    "peak_memory_mb",
    "draw_seconds",
    "draw_over_ours",
    "trace_over_forward",
    "extrapolated",
    "threads",
]
ROUNDS, SECONDS = 5, 8.0
"""Fewest turns that compared work is done in, and least time that they take; the median of their ratios counts."""

TURN = 512
"""Inputs that are scored in a turn."""

TURN_DRAWS = 4
"""Draws whose traces are collected in a turn."""

TIMED_DRAWS = 20
"""Draws whose median time is reported."""

BATCH = 256
"""Inputs of a batch of a stream."""

Job = Callable[[Scene], Row]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    Attributes:
        trusted: Trusted examples; as many others serve the samplers.
        clean: Inputs without the trigger.
        attacked: Inputs with it.
        draws: Draws that the default sampler and noise are measured on; None for all, without extrapolation.
        paper_draws: Draws that the published settings are measured on.
    """

    trusted: int = 500
    clean: int = 1000
    attacked: int = 800
    draws: int | None = None
    paper_draws: int = 60


SIZES = {"fashion-badnets": Sizes(), "cifar10-blended": Sizes(draws=12, paper_draws=20)}


def rows(setup: Setup) -> Iterator[Row]:
    """Every estimator on each organism that there is data for."""
    for scene in _scenes(setup):
        sizes = SIZES[scene.organism]
        with TemporaryDirectory() as folder:
            path = Path(folder) / "scene.pt"
            torch.save(scene, path)
            jobs = _jobs(sizes, setup.seed)
            for detector, job in setup.track(jobs.items(), f"speed on {scene.organism}", len(jobs)):
                yield {
                    **dict.fromkeys(COLUMNS),
                    "organism": scene.organism,
                    "detector": detector,
                    "n_trusted": sizes.trusted,
                    "seed": setup.seed,
                    **in_own_process(run, path, job),
                }


def in_own_process(function: Callable[..., Row], *arguments: object) -> Row:
    """What a function returns that is called in a fresh process.

    Raises:
        AnomechError: The process died.
    """
    # A process that is spawned inherits the peak of memory of its parent; one that a small server forks does not.
    context = get_context("forkserver")
    context.set_forkserver_preload([])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        hint = "; free some memory." if process.exitcode == -SIGKILL else "."
        raise AnomechError(f"the process of a row died with exit code {process.exitcode}{hint}") from None
    except BaseException:
        process.kill()
        raise
    process.join()
    if isinstance(answer, Exception):
        raise answer
    return dict(answer)


def run(path: Path, job: Job) -> Row:
    """The row of a job on the scene that lies in a file, with what the process took before it began."""
    scene = torch.load(path, weights_only=False)
    with measured(scene.task) as base:
        pass
    return {"base_memory_mb": base.peak_memory_mb, "threads": torch.get_num_threads(), "extrapolated": False} | job(
        scene
    )


def forward(scene: Scene, *, layout: torch.memory_format = torch.contiguous_format) -> Row:
    """The floor: every input passes through the model once."""
    x, turn = scene.inputs.x.to(memory_format=layout), _turn(scene).x
    with measured(scene.task) as usage:
        _forward(scene.task, x)
    again, floor = (partial(_forward, scene.task, images) for images in (turn.to(memory_format=layout), turn))
    return _costs(len(scene.inputs), 0.0, usage.seconds, usage.peak_memory_mb) | {
        "forward_equivalents": 1.0,
        "times_floor": _ratio(again, floor),
    }


def audit(scene: Scene, *, detector: Detector, copies: int = 0, beside: Detector | None = None) -> Row:
    """An auditor with this detector.

    Args:
        scene: Where it is measured.
        detector: The detector.
        copies: How often the inputs come in a stream of batches; 0 for once and all together.
        beside: Detector whose flags are compared.
    """
    trusted, _ = _halves(scene.trusted)
    inputs = list(scene.inputs.blocks(BATCH)) * copies if copies else [scene.inputs]
    auditor = Auditor(scene.task, detector)
    with measured(scene.task) as fitting:
        auditor.fit(trusted)
    with measured(scene.task) as scoring:
        verdicts = list(auditor.stream(inputs))
    n, total = len(scene.inputs), sum(len(part) for part in inputs)
    scores, predictions, flagged = (
        torch.cat([getattr(part, name) for part in verdicts])[:n] for name in ("scores", "predictions", "flagged")
    )
    turn = _turn(scene)
    row = _costs(total, fitting.seconds, scoring.seconds, scoring.peak_memory_mb) | {
        "forward_equivalents": scoring.forward_passes / total,
        "times_floor": _ratio(partial(auditor.audit, turn), partial(_forward, scene.task, turn.x)),
        **_figures(scene, predictions, scores, auditor.trusted_scores),
    }
    if beside is not None:
        others = Auditor(scene.task, beside).fit(trusted).audit(scene.inputs).flagged
        row["flags_changed"] = int((others != flagged).sum())
    return row


def sampling(scene: Scene, *, detector: TraceCoupling, sampler: Sampler, draws: int | None = None) -> Row:
    """Coupling of loss traces.

    Args:
        scene: Where it is measured.
        detector: How the traces are read.
        sampler: How weights are drawn.
        draws: Draws that are measured, all costs being extrapolated from them; None for all.
    """
    task = scene.task
    reference, examples = _halves(scene.trusted)
    start = perf_counter()
    bounded = _with_step_size(sampler, task, examples)
    fixed = perf_counter() - start
    short = bounded if draws is None else _shortened(bounded, draws)
    traces = LossTraces(short)
    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        with measured(task) as chain:
            traces.fit(task, examples, folder)
        with measured(task) as fitting:
            of_trusted = traces.extract(task, reference, folder)
        with measured(task) as scoring:
            of_inputs = traces.extract(task, scene.inputs, folder)
    passes = (sampler.total_draws + 1) / (short.total_draws + 1)
    fit_seconds = fixed + chain.seconds * _work(sampler) / _work(short) + fitting.seconds * passes
    over_forward = _trace_over_forward(task, _shortened(bounded, TURN_DRAWS), examples, _turn(scene))
    row = _costs(len(scene.inputs), fit_seconds, scoring.seconds * passes, scoring.peak_memory_mb) | {
        "forward_equivalents": scoring.forward_passes * passes / len(scene.inputs),
        "times_floor": over_forward * (sampler.total_draws + 1),
        "trace_over_forward": over_forward,
        "draw_seconds": peers.typical_draw(task, examples, _shortened(bounded, TIMED_DRAWS)),
        "measured_draws": short.total_draws,
        "extrapolated": draws is not None,
    }
    return row if draws is not None else row | _read(scene, detector, of_trusted, of_inputs)


def devinterp(scene: Scene, *, sampler: RMSpropSGLD, draws: int) -> Row:
    """The published pipeline on devinterp, which judges only inputs that are there while its chain runs."""
    task = scene.task
    reference, examples = _halves(scene.trusted)
    judged, turn = concatenate(reference, scene.inputs), _turn(scene)
    with measured(task) as usage:
        timings, _ = peers.devinterp(task, examples, judged, sampler, draws=draws)
    each = max(2, draws // ROUNDS)
    alone, over_forward = [], []
    for _ in range(ROUNDS):
        alone.append(peers.draw_seconds(task, examples, _shortened(sampler, each), draws=each))
        timed, _ = peers.devinterp(task, examples, turn, sampler, draws=TURN_DRAWS, now=peers.clock)
        over_forward.append(median(timed.traces) / _seconds(partial(_forward, task, turn.x)))
    trace = median(timings.traces) / len(judged)
    chain = median(timings.steps) * sampler.steps + trace * sampler.draws * len(reference)
    scoring = trace * sampler.draws * len(scene.inputs)
    return _costs(len(scene.inputs), chain, scoring, usage.peak_memory_mb) | {
        "forward_equivalents": sampler.draws + 1.0,
        "times_floor": (sampler.draws + 1) * median(over_forward),
        "draw_seconds": median(theirs for theirs, _ in alone),
        "draw_over_ours": median(theirs / ours for theirs, ours in alone),
        "measured_draws": draws,
        "extrapolated": True,
    }


def _jobs(sizes: Sizes, seed: int) -> dict[str, Job]:
    gradient = GradientSpan(features=GradientSketch(seed=seed))
    reduced = GradientSpan(features=GradientSketch(precision="bfloat16", seed=seed))
    published = TraceCoupling(measure="pearson", pooling="class-level")
    paper = RMSpropSGLD.paper(seed=seed)
    sampled = partial(sampling, detector=TraceCoupling(), draws=sizes.draws)
    jobs: dict[str, Job] = {
        "forward passes": forward,
        "forward passes, channels last": partial(forward, layout=torch.channels_last),
        "gradient": partial(audit, detector=gradient),
        "gradient, bfloat16": partial(audit, detector=reduced, beside=gradient),
        "gradient, streamed 4x": partial(audit, detector=gradient, copies=4),
        "gradient by torch.func": partial(audit, detector=peers.NaiveCosine(), copies=1),
        "sampling, 300 draws": partial(sampled, sampler=RMSpropSGLD(draws=150, seed=seed)),
        "sampling, paper": partial(sampling, detector=published, sampler=paper, draws=sizes.paper_draws),
        "noise, 150 draws": partial(sampled, sampler=IsotropicNoise(seed=seed)),
    }
    if peers.has_devinterp():
        jobs[f"devinterp {version('devinterp')}, paper"] = partial(devinterp, sampler=paper, draws=sizes.paper_draws)
    else:
        logger.warning("devinterp is not installed, so its row is left out; pip install 'anomech[bench]' brings it.")
    return jobs


def _scenes(setup: Setup) -> Iterator[Scene]:
    for name in filter(SIZES.__contains__, setup.organisms):
        sizes = SIZES[name]
        scene = setup.scene(name, trusted=2 * sizes.trusted, clean=sizes.clean, attacked=sizes.attacked)
        if scene:
            yield scene


def _send(sender: Connection, function: Callable[..., Row], arguments: tuple[object, ...]) -> None:
    try:
        sender.send(function(*arguments))
    except Exception as error:
        error.add_note(traceback.format_exc())
        sender.send(error)


def _halves(examples: Examples) -> tuple[Examples, Examples]:
    """Trusted examples to score against, and others to sample with."""
    first = torch.arange(len(examples)) % 2 == 0
    return examples[first], examples[~first]


def _turn(scene: Scene) -> Examples:
    return scene.inputs[torch.arange(min(TURN, len(scene.inputs)))]


def _forward(task: Task, x: Tensor) -> None:
    with torch.no_grad():
        for block in x.split(task.batch_size):
            task.model(block.to(task.device)).cpu()


def _seconds(job: Callable[[], object]) -> float:
    start = peers.clock()
    job()
    return peers.clock() - start


def _ratio(job: Callable[[], object], floor: Callable[[], object]) -> float:
    """Time of a job over that of another, done in turns."""
    start = perf_counter()
    ratios: list[float] = []
    while len(ratios) < ROUNDS or perf_counter() - start < SECONDS:
        below = _seconds(floor)
        ratios.append(_seconds(job) / below)
    return median(ratios)


def _costs(inputs: int, fit_seconds: float, score_seconds: float, peak_memory_mb: float) -> dict[str, Any]:
    return {
        "seconds": fit_seconds + score_seconds,
        "fit_seconds": fit_seconds,
        "seconds_per_1000": 1000 * score_seconds / inputs,
        "peak_memory_mb": peak_memory_mb,
    }


def _figures(scene: Scene, predictions: Tensor, scores: Tensor, trusted_scores: Tensor) -> Figures:
    return evaluate(scene.inputs, predictions=predictions, scores=scores, trusted_scores=trusted_scores, fpr=0.01)


def _read(scene: Scene, detector: Detector, of_trusted: Features, of_inputs: Features) -> Figures:
    fitted = detector.fit(of_trusted)
    return _figures(scene, of_inputs.predictions, fitted.score(of_inputs), fitted.trusted_scores())


def _with_step_size(sampler: Sampler, task: Task, examples: Examples) -> Sampler:
    if not isinstance(sampler, LangevinSampler):
        return sampler
    return replace(sampler, step_size=sampler.safe_step_size(task, examples))


def _shortened(sampler: Sampler, draws: int) -> Any:
    """The sampler with about so many draws in all, and no burn-in."""
    fewer = replace(sampler, draws=max(2, draws // sampler.chains))
    return replace(fewer, burn_in=0) if isinstance(fewer, LangevinSampler) else fewer


def _work(sampler: Sampler) -> int:
    """What the time of drawing is proportional to."""
    return sampler.gradient_passes or sampler.total_draws


def _trace_over_forward(task: Task, sampler: Sampler, examples: Examples, inputs: Examples) -> float:
    """Seconds of collecting traces from stored draws, over those of the forward passes that this takes."""
    traces = LossTraces(sampler)

    def bare() -> None:
        for _ in range(traces.passes_per_input):
            _forward(task, inputs.x)

    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        traces.fit(task, examples, folder)
        return _ratio(partial(traces.extract, task, inputs, folder), bare)
