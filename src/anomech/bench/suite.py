"""What every suite shares: rows with the same keys, written after each, and the table made from them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anomech.io import atomic_file
from anomech.versions import device, versions

logger = logging.getLogger(__name__)

Row = dict[str, Any]

KEYS = [
    "suite",
    "organism",
    "detector",
    "n_trusted",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_filtered",
    "tpr_at_fpr_1",
    "tpr_at_fpr_5",
    "realised_fpr_1",
    "realised_fpr_5",
    "der",
    "der_posthoc",
    "seconds",
    "forward_equivalents",
    "peak_memory_mb",
    "seed",
]
"""Keys of every row of every suite, null where a suite has no such figure; a suite may have more."""

DETECTION = [
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_filtered",
    "tpr_at_fpr_1",
    "realised_fpr_1",
    "tpr_at_fpr_5",
    "realised_fpr_5",
    "der",
]
"""Columns of a table about detection."""


def run_suite(
    name: str, rows: Iterable[Row], columns: Sequence[str], out: Path, *, options: Sequence[str] = ()
) -> list[Row]:
    """Collect the rows of a suite, writing `results.json` and `results.md` after each.

    Args:
        name: Name of the suite.
        rows: Its rows, computed as they are asked for.
        columns: What the table shows.
        out: Folder of the results.
        options: What else the command line asked for, shown beside the table.
    """
    done: list[Row] = []
    for row in rows:
        done.append({**dict.fromkeys(KEYS), "suite": name, **row})
        with atomic_file(out / "results.json") as path:
            path.write_text(json.dumps(done, indent=1) + "\n")
        with atomic_file(out / "results.md") as path:
            path.write_text(_markdown(["anomech bench", name, "--out DIR", *options], done, columns))
        logger.info("%s", {column: done[-1].get(column) for column in columns})
    return done


def _markdown(command: Sequence[str], rows: Sequence[Row], columns: Sequence[str]) -> str:
    made = ", ".join([*(f"{package} {version}" for package, version in versions().items()), device()])
    seeds = sorted({row["seed"] for row in rows if row["seed"] is not None})
    seeded = f"seed {', '.join(map(str, seeds))}; " if seeds else ""
    lines = [
        f"`{' '.join(command)}`, {datetime.now(UTC):%Y-%m-%d}; {seeded}{made}.",
        "",
        "| " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.3g}" if abs(value) >= 10 or 0 < abs(value) < 0.001 else f"{value:.3f}"
        case _:
            return str(value)
