"""`anomech bench`: tables that anyone can rebuild."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Benchmarks.")


@app.callback()
def callback() -> None:
    """Benchmarks."""
