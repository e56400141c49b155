"""`anomech demo`: the whole job on a backdoored classifier that the package ships."""

from __future__ import annotations

from pathlib import Path

import typer

from anomech.auditor import Auditor
from anomech.cli import options as o
from anomech.cli.console import messages, results
from anomech.cli.output import conclude, detection_table, figures, write_run
from anomech.cli.runs import Outcome, Run, fit_audit, load_inputs, load_trusted, prepare
from anomech.detectors import Detector, Mahalanobis, MaxSoftmax, TypicalConfidence
from anomech.organisms.fashion import CLASS_NAMES
from anomech.tasks import Task

BASELINES: tuple[Detector, ...] = (Mahalanobis(), TypicalConfidence(), MaxSoftmax())


def command(
    out: o.Out = Path("anomech-demo"),
    fpr: o.Fpr = 0.01,
    fdr: o.Fdr = None,
    detector: o.Name = o.DetectorName.GRADIENT,
    settings: o.Set = None,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    mapped: o.Map = False,
    as_json: o.Json = False,
) -> None:
    """Audit a really backdoored Fashion-MNIST classifier, and compare with what a sceptic would try first."""
    chosen = o.build_detector(detector, seed=seed, assignments=settings or ())
    execute(
        Run.of("demo", chosen, fpr=fpr, fdr=fdr, seed=seed, batch_size=batch_size, mapped=mapped), out, as_json=as_json
    )
    raise typer.Exit(0)


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Run the demo, write the results into `out`, and return 0."""
    task = run.task()
    messages.print("The model: a Fashion-MNIST classifier with a backdoor. A small checkerboard makes it say T-shirt.")
    outcome = _audit(run, task, out)
    found = figures(outcome, seed=run.seed)
    baselines = [_baseline(detector, outcome, seed=run.seed) for detector in BASELINES]
    title = "Audit of a backdoored Fashion-MNIST classifier"
    write_run(out, run, outcome, found, title=title, baselines=baselines, class_names=CLASS_NAMES)
    if not as_json:
        results.print(detection_table([found, *baselines], title=_scene(outcome)))
    conclude(out, outcome, found, as_json=as_json)
    return 0


def _scene(outcome: Outcome) -> str:
    triggered = 0 if outcome.inputs.anomalous is None else int(outcome.inputs.anomalous.sum())
    return f"{len(outcome.inputs):,} inputs, {triggered:,} with the trigger; thresholds from trusted examples alone"


def _audit(run: Run, task: Task, out: Path) -> Outcome:
    trusted, inputs = load_trusted(run, task), load_inputs(run, task)
    return fit_audit(prepare(run, task, trusted, inputs=len(inputs), out=out), trusted, inputs, mapped=run.mapped)


def _baseline(detector: Detector, outcome: Outcome, *, seed: int) -> dict[str, object]:
    """Figures of a detector that is given the same trusted examples and the same inputs."""
    auditor = Auditor(outcome.auditor.task, detector, calibrator=outcome.auditor.calibrator)
    return figures(fit_audit(auditor, outcome.auditor.reference, outcome.inputs), seed=seed)
