"""What is kept so that later inputs need no new chain: disk, time and change in score of each way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from scipy import stats
from torch import Tensor

from anomech.auditor import Auditor
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.detectors import TraceCoupling
from anomech.evaluation import evaluate
from anomech.features import LossTraces
from anomech.measure import measured
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.sampling import RMSpropSGLD
from anomech.tasks import ClassificationTask

COLUMNS = [
    "detector",
    "draws",
    "disk_mb",
    "fit_seconds",
    "seconds",
    "forward_equivalents",
    "rank_correlation",
    "largest_change",
    "auroc",
    "tpr_at_fpr_1",
    "realised_fpr_1",
]


def ways(seed: int) -> dict[str, LossTraces]:
    """The ways that are compared, by name; replay from the seed is exact and comes first."""
    sampler = RMSpropSGLD(seed=seed)
    half = replace(sampler, draws=sampler.draws // 2, thin=2 * sampler.thin)
    quarter = replace(sampler, draws=sampler.draws // 4, thin=4 * sampler.thin)
    return {
        "seed, chain run again": LossTraces(sampler, keep="seed"),
        "8-bit draws": LossTraces(sampler),
        "8-bit draws, every second": LossTraces(half),
        "8-bit draws, every fourth": LossTraces(quarter),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Fit, save, load and score with each way; scores are compared with those of the exact one."""
    exact: Tensor | None = None
    trusted, inputs = demo_split(seed=setup.seed)
    for name, traces in ways(setup.seed).items():
        task = ClassificationTask(shipped_model())
        with TemporaryDirectory() as folder:
            artefact = Path(folder) / "auditor"
            with measured(task) as fitting:
                Auditor(task, TraceCoupling(features=traces), seed=setup.seed, track=setup.track).fit(trusted).save(
                    artefact
                )
            with measured(task) as scoring:
                verdicts = Auditor.load(artefact, task, track=setup.track).audit(inputs)
            disk = sum(f.stat().st_size for f in (artefact / "features").iterdir()) / 2**20
        exact = verdicts.scores if exact is None else exact
        figures = evaluate(
            inputs,
            predictions=verdicts.predictions,
            scores=verdicts.scores,
            trusted_scores=verdicts.trusted_scores,
            fpr=verdicts.fpr,
        )
        yield {
            "organism": "fashion-badnets",
            "detector": name,
            "n_trusted": len(verdicts.trusted_scores),
            "draws": traces.sampler.total_draws,
            "disk_mb": disk,
            "fit_seconds": fitting.seconds,
            "seconds": scoring.seconds,
            "forward_equivalents": scoring.forward_passes / len(inputs),
            "peak_memory_mb": scoring.peak_memory_mb,
            "rank_correlation": float(stats.spearmanr(exact, verdicts.scores).statistic),
            "largest_change": float((exact - verdicts.scores).abs().max()),
            "seed": setup.seed,
            **figures,
        }
