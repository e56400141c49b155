"""`anomech audit`: fit and score in one go."""

from __future__ import annotations

from pathlib import Path

import typer

from anomech.cli import options as o
from anomech.cli.console import results
from anomech.cli.output import conclude, detection_table, figures, write_run
from anomech.cli.runs import Run, check_inputs, fit_audit, load_inputs, load_trusted, prepare
from anomech.io import check_replaceable
from anomech.io.conversations import NEW_TOKENS


def command(
    model: o.Model,
    trusted: o.Trusted,
    inputs: o.Inputs,
    adapter: o.Adapter = None,
    dtype: o.DtypeName = o.Dtype.FLOAT32,
    out: o.Out = Path("anomech-audit"),
    fpr: o.Fpr = 0.01,
    fdr: o.Fdr = None,
    detector: o.Name = o.DetectorName.GRADIENT,
    settings: o.Set = None,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    new_tokens: o.NewTokens = NEW_TOKENS,
    device: o.Device = None,
    mapped: o.Map = False,
    explained: o.Explain = None,
    as_json: o.Json = False,
) -> None:
    """Which inputs did the model answer by a mechanism that the trusted examples do not explain?"""
    chosen = o.build_detector(detector, seed=seed, assignments=settings or ())
    run = Run.of(
        "audit",
        chosen,
        fpr=fpr,
        fdr=fdr,
        model=o.absolute_spec(model),
        adapter=None if adapter is None else str(adapter.resolve()),
        dtype=dtype.value,
        trusted=str(trusted.resolve()),
        inputs=str(inputs.resolve()),
        seed=seed,
        batch_size=batch_size,
        new_tokens=new_tokens,
        mapped=mapped,
        explained=explained,
        device=device,
    )
    raise typer.Exit(execute(run, out, as_json=as_json))


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Audit, write the results into `out`, and return the exit status."""
    check_replaceable(out)
    task = run.task()
    check_inputs(run, task)
    trusted, examples = load_trusted(run, task), load_inputs(run, task)
    examples.require_shape_of(trusted)
    auditor = prepare(run, task, trusted, inputs=len(examples), out=out)
    outcome = fit_audit(run, auditor, trusted, examples, out=out)
    measured = figures(outcome, seed=run.seed)
    write_run(out, run, outcome, measured, title=f"Audit of {run.model}")
    if examples.anomalous is not None and not as_json:
        results.print(detection_table([measured], title="Measured, thresholds set on trusted data alone"))
    return conclude(out, outcome, measured, as_json=as_json)
