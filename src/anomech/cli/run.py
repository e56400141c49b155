"""`anomech run`: repeat a run from the settings that it wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomech.cli import audit, demo, fit, score
from anomech.cli.runs import Run
from anomech.errors import ArtefactError

COMMANDS = {"demo": demo.execute, "audit": audit.execute, "fit": fit.execute, "score": score.execute}


def command(
    config: Annotated[Path, typer.Argument(help="The config.json that a run wrote.")],
    out: Annotated[Path | None, typer.Option(help="Where the results go; by default over the old ones.")] = None,
) -> None:
    """Repeat a run."""
    run = Run.read(config)
    if run.command not in COMMANDS:
        raise ArtefactError(f"{config} records the command {run.command!r}, which this version does not know.")
    raise typer.Exit(COMMANDS[run.command](run, out or config.resolve().parent))
