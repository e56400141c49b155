"""`anomech bench`: tables that anyone can rebuild."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anomech.bench import calibration, sampling, storage
from anomech.bench.suite import run_suite
from anomech.cli import options as o
from anomech.cli.console import results, track


class SuiteName(StrEnum):
    """Suites by the name that the command line gives them."""

    CALIBRATION = "calibration"
    SAMPLING = "sampling"
    STORAGE = "storage"


SUITES = {SuiteName.CALIBRATION: calibration, SuiteName.SAMPLING: sampling, SuiteName.STORAGE: storage}


def command(
    suite: Annotated[SuiteName, typer.Argument(help="Which table.")],
    out: Annotated[Path, typer.Option(help="Where results.json and results.md go.")],
    seed: o.Seed = 0,
) -> None:
    """Rebuild a table of the docs."""
    module = SUITES[suite]
    run_suite(suite, module.rows(seed=seed, track=track), module.COLUMNS, out)
    results.print((out / "results.md").read_text(), soft_wrap=True, highlight=False)
