"""`anomech score`: the second half of an audit, on inputs that arrived after fitting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomech.auditor import Auditor
from anomech.cli import options as o
from anomech.cli.console import messages, track
from anomech.cli.output import conclude, figures, write_run
from anomech.cli.runs import Run, audit, check_explained, load_inputs
from anomech.errors import ArtefactError, SettingsError
from anomech.io import check_replaceable

Artefact = Annotated[Path, typer.Option("--auditor", help="What `anomech fit` wrote.")]


def command(
    auditor: Artefact,
    inputs: o.Inputs,
    out: o.Out = Path("anomech-score"),
    model: Annotated[str | None, typer.Option(help="SPEC of the model; by default the one that was fitted.")] = None,
    batch_size: o.BatchSize = 256,
    device: o.Device = None,
    mapped: o.Map = False,
    explained: o.Explain = None,
    as_json: o.Json = False,
) -> None:
    """Score inputs with a fitted auditor, without sampling again."""
    fitted = _fitted(auditor, required=model is None)
    run = Run(
        command="score",
        model=fitted.model if model is None else o.absolute_spec(model),
        adapter=fitted.adapter,
        dtype=fitted.dtype,
        inputs=str(inputs.resolve()),
        artefact=str(auditor.resolve()),
        batch_size=batch_size,
        new_tokens=fitted.new_tokens,
        mapped=mapped,
        explained=explained,
        device=device,
    )
    raise typer.Exit(execute(run, out, as_json=as_json))


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Score, write the results into `out`, and return the exit status."""
    artefact = Path(str(run.artefact))
    if out.resolve() == artefact:
        raise SettingsError("--out is the auditor itself; choose another folder.")
    check_replaceable(out)
    task = run.task()
    auditor = Auditor.load(artefact, task, track=track)
    for warning in auditor.warnings:
        messages.print(warning)
    inputs = load_inputs(run, task)
    check_explained(run, auditor, inputs)
    outcome = audit(run, auditor, inputs, out=out)
    found = figures(outcome, seed=run.seed)
    write_run(out, run, outcome, found, title=f"Audit of {run.model}")
    return conclude(out, outcome, found, as_json=as_json)


def _fitted(auditor: Path, *, required: bool) -> Run:
    """The run that fitted the auditor; the library records none."""
    try:
        return Run.read(auditor / "config.json")
    except ArtefactError:
        if required:
            raise
        return Run(command="fit")
