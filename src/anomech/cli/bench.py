"""`anomech bench`: tables that anyone can rebuild."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from anomech.bench import (
    agreement,
    attribution,
    calibration,
    diffing,
    explain,
    fingerprints,
    geometry,
    language,
    quirky,
    recipe,
    sampling,
    sanity,
    sensitivity,
    speed,
    storage,
    trusted,
    vision,
)
from anomech.bench.figure import draw
from anomech.bench.page import publish
from anomech.bench.setup import Setup, Size
from anomech.bench.suite import Row, run_suite
from anomech.cli import options as o
from anomech.cli.console import results, track
from anomech.organisms.organism import Part


class SuiteName(StrEnum):
    """Suites by the name that the command line gives them."""

    AGREEMENT = "agreement"
    ATTRIBUTION = "attribution"
    CALIBRATION = "calibration"
    DIFFING = "diffing"
    EXPLAIN = "explain"
    FINGERPRINTS = "fingerprints"
    GEOMETRY = "geometry"
    LANGUAGE = "language"
    QUIRKY = "quirky"
    RECIPE = "recipe"
    SAMPLING = "sampling"
    SANITY = "sanity"
    SENSITIVITY = "sensitivity"
    SPEED = "speed"
    STORAGE = "storage"
    TRUSTED = "trusted"
    VISION = "vision"


SUITES = {
    SuiteName.AGREEMENT: agreement,
    SuiteName.ATTRIBUTION: attribution,
    SuiteName.CALIBRATION: calibration,
    SuiteName.DIFFING: diffing,
    SuiteName.EXPLAIN: explain,
    SuiteName.FINGERPRINTS: fingerprints,
    SuiteName.GEOMETRY: geometry,
    SuiteName.LANGUAGE: language,
    SuiteName.QUIRKY: quirky,
    SuiteName.RECIPE: recipe,
    SuiteName.SAMPLING: sampling,
    SuiteName.SANITY: sanity,
    SuiteName.SENSITIVITY: sensitivity,
    SuiteName.SPEED: speed,
    SuiteName.STORAGE: storage,
    SuiteName.TRUSTED: trusted,
    SuiteName.VISION: vision,
}

FIGURES: dict[SuiteName, Callable[[Sequence[Row], Path], None]] = {
    SuiteName.AGREEMENT: partial(draw, agreement.FIGURE),
    SuiteName.GEOMETRY: geometry.draw,
    SuiteName.QUIRKY: partial(draw, quirky.FIGURE),
    SuiteName.SANITY: partial(draw, sanity.FIGURE),
    SuiteName.SENSITIVITY: partial(draw, sensitivity.FIGURE),
}


def command(
    suite: Annotated[SuiteName, typer.Argument(help="Which table.")],
    out: Annotated[Path, typer.Option(help="Where results.json and results.md go.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of published images and checkpoints (docs/benchmarks); more organisms.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where networks that are trained for a suite are kept.")] = Path(
        "anomech-organisms"
    ),
    development: Annotated[bool, typer.Option(help="Run on the images to tune on, not on those to report on.")] = False,
    size: Annotated[
        Size, typer.Option("--suite", help="How much of the vision, language and diffing suites.")
    ] = "small",
    seed: o.Seed = 0,
) -> None:
    """Rebuild a table of the docs."""
    module = SUITES[suite]
    part: Part = "development" if development else "report"
    setup = Setup(seed=seed, data=data, cache=cache, part=part, suite=size, track=track)
    done = run_suite(suite, module.rows(setup), module.COLUMNS, out, options=setup.options)
    if suite in FIGURES:
        FIGURES[suite](done, out / "figure.svg")
    if suite is SuiteName.VISION:
        publish(done, out)
    results.print((out / "results.md").read_text(), soft_wrap=True, highlight=False)
