"""`anomech fit`: the first half of an audit; its artefact scores inputs that arrive later."""

from __future__ import annotations

from pathlib import Path

import typer

from anomech.cli import options as o
from anomech.cli import runs
from anomech.cli.console import results
from anomech.io import check_replaceable
from anomech.io.conversations import NEW_TOKENS
from anomech.measure import measured


def command(
    model: o.Model,
    trusted: o.Trusted,
    adapter: o.Adapter = None,
    dtype: o.DtypeName = o.Dtype.FLOAT32,
    out: o.Out = Path("anomech-auditor"),
    fpr: o.Fpr = 0.01,
    fdr: o.Fdr = None,
    detector: o.Name = o.DetectorName.GRADIENT,
    settings: o.Set = None,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    new_tokens: o.NewTokens = NEW_TOKENS,
    device: o.Device = None,
) -> None:
    """Learn what trusted examples look like to a model, and keep it for `anomech score`."""
    chosen = o.build_detector(detector, seed=seed, assignments=settings or ())
    run = runs.Run.of(
        "fit",
        chosen,
        fpr=fpr,
        fdr=fdr,
        model=o.absolute_spec(model),
        adapter=None if adapter is None else str(adapter.resolve()),
        dtype=dtype.value,
        trusted=str(trusted.resolve()),
        seed=seed,
        batch_size=batch_size,
        new_tokens=new_tokens,
        device=device,
    )
    raise typer.Exit(execute(run, out))


def execute(run: runs.Run, out: Path) -> int:
    """Fit and save the auditor into `out`; returns 0."""
    check_replaceable(out)
    task = run.task()
    trusted = runs.load_trusted(run, task)
    auditor = runs.prepare(run, task, trusted, inputs=0, out=out)
    with measured(task) as usage:
        auditor.fit(trusted)
    auditor.save(out, run=run.plain())
    results.print(f"Auditor: {out} (fitted in {usage.seconds:.1f} s)", soft_wrap=True, markup=False)
    return 0
