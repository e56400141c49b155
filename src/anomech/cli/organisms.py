"""`anomech organisms`: build model organisms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anomech.cli.console import results, track
from anomech.organisms import fashion

app = typer.Typer(no_args_is_help=True, help="Model organisms: models with a planted mechanism.")


@app.callback()
def callback() -> None:
    """Model organisms: models with a planted mechanism."""


@app.command("train")
def train(
    data: Annotated[
        Path, typer.Option(help="Folder with the gzip IDX files of Fashion-MNIST (Debian: dataset-fashion-mnist).")
    ],
    out: Annotated[Path, typer.Option(help="Where the weights and the sample of images go.")] = Path(
        "anomech-organism"
    ),
) -> None:
    """Train the backdoored classifier that the package ships, from the same seed."""
    record = fashion.build(data, out, track=track)
    results.print(f"accuracy {record['accuracy']:.4f}, attack success {record['attack_success']:.4f}; written to {out}")
