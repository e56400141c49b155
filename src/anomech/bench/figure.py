"""A figure from the rows of a suite, one line a series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anomech.bench.suite import Row
from anomech.io import atomic_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a figure shows.

    Attributes:
        x: Key of the horizontal axis, which is logarithmic.
        y: Key of the vertical axis, from 0 to 1.
        series: Key that tells the lines apart.
        x_label: What is written along the horizontal axis.
        y_label: What is written along the vertical axis.
    """

    x: str
    y: str
    series: str
    x_label: str
    y_label: str


def draw(figure: Figure, rows: Sequence[Row], path: Path) -> None:
    """Write the figure as SVG; without matplotlib, say how to get it."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        logger.warning('no figure: it needs matplotlib; pip install "anomech[bench]".')
        return
    canvas = Canvas(figsize=(7, 4), layout="constrained")
    axes = canvas.subplots()
    for name in dict.fromkeys(row[figure.series] for row in rows):
        line = [row for row in rows if row[figure.series] == name]
        axes.plot([row[figure.x] for row in line], [row[figure.y] for row in line], marker="o", label=name)
    axes.set(xscale="log", xlabel=figure.x_label, ylabel=figure.y_label, ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    # Without a date or random identifiers the same rows give the same file.
    with atomic_file(path) as partial, rc_context({"svg.hashsalt": "anomech"}):
        canvas.savefig(partial, format="svg", metadata={"Date": None})
