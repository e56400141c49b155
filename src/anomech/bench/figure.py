"""A figure from the rows of a suite: a column for each thing that is varied, a row for each that is measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomech.bench.suite import Row
from anomech.io import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

logger = logging.getLogger(__name__)

STYLES = ("-", "--", ":")
"""Lines of the first organism in a figure, of the second, and of the third."""
MOST_TICKS = 8
"""Values along an axis that are few enough to be written each; powers of ten say little about them."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What is varied; there is a line a detector and organism, or where organisms are pooled, points a detector.

    Attributes:
        x: Key of the horizontal axis; rows without it are not shown.
        label: What is written along that axis.
        study: Rows that are shown, by their key `study`; by default those without one.
        scale: Of the axis, as matplotlib names it.
        pooled: Whether what differs along the axis is the organism, or its layers.
    """

    x: str
    label: str
    study: str | None = None
    scale: str = "log"
    pooled: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a figure shows.

    Attributes:
        panels: Its columns.
        measures: Keys of the vertical axes, and what is written along them.
        limits: Of these axes.
    """

    panels: Sequence[Panel]
    measures: Mapping[str, str]
    limits: tuple[float, float] = (-0.02, 1.02)


def draw(figure: Figure, rows: Sequence[Row], path: Path) -> None:
    """Write the figure as SVG; without matplotlib, say how to get it."""
    columns, measures = len(figure.panels), figure.measures
    organisms, detectors = (list(dict.fromkeys(row[key] for row in rows)) for key in ("organism", "detector"))
    keys = len({(row["organism"], row["detector"]) for row in rows})
    size = (max(7.0, 4.6 * columns), 1 + 3.2 * len(measures) + 0.15 * keys)
    canvas = blank(size)
    if canvas is None:
        return
    grid = canvas.subplots(len(measures), columns, sharex="col", squeeze=False)
    for column, panel in zip(grid.T, figure.panels, strict=True):
        lines = _lines(panel, rows)
        at = sorted({row[panel.x] for line in lines.values() for row in line})
        for axes, (key, label) in zip(column, measures.items(), strict=True):
            for (organism, detector), line in lines.items():
                style = "" if panel.pooled else STYLES[organisms.index(organism)]
                axes.plot(
                    [row[panel.x] for row in line],
                    [row[key] for row in line],
                    style,
                    color=f"C{detectors.index(detector)}",
                    marker="o",
                    markersize=4,
                    label=detector if panel.pooled or len(organisms) == 1 else f"{detector}, {organism}",
                )
            axes.set(xscale=panel.scale, ylabel=label, ylim=figure.limits)
            axes.grid(alpha=0.3)
            if panel.scale == "log" and len(at) <= MOST_TICKS:
                axes.set_xticks(at, [f"{x:g}" for x in at])
                axes.minorticks_off()
        axes.set(xlabel=panel.label)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False, fontsize="small")
    save(canvas, path)


def blank(size: tuple[float, float]) -> Canvas | None:
    """A canvas of so many inches; without matplotlib none, and a line that says how to get it."""
    try:
        from matplotlib import figure
    except ImportError:
        logger.warning('no figure: it needs matplotlib; pip install "anomech[bench]".')
        return None
    return figure.Figure(figsize=size, layout="constrained")


def save(canvas: Canvas, path: Path) -> None:
    """Write it as SVG; the same figure gives the same file."""
    from matplotlib import rc_context

    # Without a date or random identifiers.
    with atomic_file(path) as partial, rc_context({"svg.hashsalt": "anomech"}):
        canvas.savefig(partial, format="svg", metadata={"Date": None})


def _lines(panel: Panel, rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of a panel by organism, which is empty where these are pooled, and detector."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.get("study") == panel.study and row.get(panel.x) is not None:
            lines.setdefault(("" if panel.pooled else row["organism"], row["detector"]), []).append(row)
    return lines
