"""`anomech run`: repeat a run from the settings that it wrote down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from anomech.cli import audit, demo, diff, fit, geometry, score
from anomech.cli.console import messages
from anomech.cli.runs import Run
from anomech.errors import ArtefactError

COMMANDS = {
    "demo": demo.execute,
    "audit": audit.execute,
    "fit": fit.execute,
    "score": score.execute,
    "diff": diff.execute,
    "geometry": geometry.execute,
}


def command(
    config: Annotated[Path, typer.Argument(help="The config.json that a run wrote.")],
    out: Annotated[Path | None, typer.Option(help="Where the results go; by default over the old ones.")] = None,
) -> None:
    """Repeat a run."""
    run = Run.read(config)
    if run.command not in COMMANDS:
        raise ArtefactError(f"{config} records the command {run.command!r}, which this version does not know.")
    folder, before = out or config.resolve().parent, _made_of(config)
    status = COMMANDS[run.command](run, folder)
    for name, now in _made_of(folder / "config.json").items():
        if before.get(name) != now:
            messages.print(f"[yellow]Not the same run: {name} differs from what {config} recorded.[/yellow]")
    raise typer.Exit(status)


def _made_of(config: Path) -> dict[str, Any]:
    recorded = json.loads(config.read_text())
    names = ("model_sha256", "trusted_sha256", "inputs_sha256", "versions")
    return {name: recorded[name] for name in names if name in recorded}
