"""Which sampler, which batch-norm behaviour, which coupling and which pooling detect best on the shipped organism."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

from anomech.bench.setup import Setup
from anomech.bench.suite import DETECTION, Row
from anomech.detectors import TraceCoupling
from anomech.detectors.coupling import Pooling
from anomech.detectors.trace_coupling import TraceMeasure
from anomech.evaluation import evaluate
from anomech.examples import Examples, stratified_split
from anomech.features import LossTraces
from anomech.measure import measured
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.progress import Track
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD, Sampler
from anomech.tasks import ClassificationTask

COLUMNS = [
    "detector",
    "measure",
    "pooling",
    *DETECTION,
    "der_posthoc",
    "seconds",
    "forward_equivalents",
    "effective_draws",
    "r_hat",
    "drift",
]


def samplers(seed: int) -> dict[str, Sampler]:
    """The samplers that are compared, by name."""
    return {
        "RMSprop-SGLD, batch norm train": RMSpropSGLD(seed=seed),
        "RMSprop-SGLD, batch norm frozen": RMSpropSGLD(batch_norm="frozen", seed=seed),
        "SGLD, batch norm train": SGLD(seed=seed),
        "isotropic noise": IsotropicNoise(seed=seed),
        "RMSprop-SGLD, paper's settings": RMSpropSGLD.paper(seed=seed),
        "RMSprop-SGLD, paper's settings, batch norm frozen": replace(RMSpropSGLD.paper(seed=seed), batch_norm="frozen"),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Every sampler once, its traces read with every coupling and pooling."""
    trusted, inputs = demo_split(seed=setup.seed)
    assert trusted.y is not None
    ours, others = stratified_split(trusted.y, 0.5, seed=setup.seed)
    for name, sampler in samplers(setup.seed).items():
        for row in _read(sampler, trusted[ours], trusted[others], inputs, setup.track):
            yield {"organism": "fashion-badnets", "detector": name, "n_trusted": len(others), "seed": setup.seed, **row}


def _read(sampler: Sampler, sampling: Examples, trusted: Examples, inputs: Examples, track: Track) -> Iterator[Row]:
    task = ClassificationTask(shipped_model())
    traces = LossTraces(sampler)
    with tempfile.TemporaryDirectory() as workspace:
        folder = Path(workspace)
        with measured(task) as fitting:
            traces.fit(task, sampling, folder, track=track)
            of_trusted = traces.extract(task, trusted, folder, track=track)
        with measured(task) as scoring:
            of_inputs = traces.extract(task, inputs, folder, track=track)
    health = traces.health(task, trusted, of_trusted)
    common = {
        "seconds": fitting.seconds + scoring.seconds,
        "forward_equivalents": scoring.forward_passes / len(inputs),
        "peak_memory_mb": scoring.peak_memory_mb,
        "effective_draws": health.effective_draws,
        "r_hat": health.r_hat,
        "drift": health.mean_loss - health.start_loss,
    }
    for measure in get_args(TraceMeasure):
        for pooling in get_args(Pooling):
            detector = TraceCoupling(features=traces, measure=measure, pooling=pooling).fit(of_trusted)
            figures = evaluate(
                inputs,
                predictions=of_inputs.predictions,
                scores=detector.score(of_inputs),
                trusted_scores=detector.trusted_scores(),
                fpr=0.01,
            )
            yield {"measure": measure, "pooling": pooling, **common, **figures}
