"""`anomech diff`: where fine-tuning moved the weights of a model, and what it added to activations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from anomech.cli import options as o
from anomech.cli.added import Added, find_added
from anomech.cli.console import results, track
from anomech.cli.runs import Run, load_trusted
from anomech.diffing.directions import SharpShare, sharp_share
from anomech.diffing.weights import (
    Change,
    TensorDifference,
    WeightDifference,
    adapter_changes,
    measure,
    model_changes,
    model_tensors,
)
from anomech.errors import SettingsError
from anomech.gradients.sharp import sharp_directions
from anomech.io import check_replaceable, load_model, result_directory
from anomech.io.conversations import NEW_TOKENS
from anomech.report import render_difference
from anomech.report.added import shown_features
from anomech.versions import versions

SHOWN = 10
"""Tensors that are listed on the terminal."""


def command(
    base: Annotated[str, typer.Argument(help="The model before fine-tuning, named as for anomech audit --model.")],
    tuned: Annotated[
        str | None, typer.Argument(help="The model after it, named likewise.", metavar="[FT]", show_default=False)
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Folder of a peft adapter (LoRA) in place of FT.", show_default=False)
    ] = None,
    trusted: Annotated[
        Path | None,
        typer.Option(
            help="Trusted examples, as for anomech audit: does the difference lie where their loss is sharp or flat?",
            show_default=False,
        ),
    ] = None,
    directions: Annotated[int, typer.Option(min=1, help="How many of the sharpest directions are looked at.")] = 20,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Prompts, as for anomech audit: which features were added to a language model's activations on them?",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(help="Block after which; by default one a little beyond the middle.", show_default=False),
    ] = None,
    dtype: o.DtypeName = o.Dtype.FLOAT32,
    out: o.Out = Path("anomech-diff"),
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    new_tokens: o.NewTokens = NEW_TOKENS,
    device: o.Device = None,
    as_json: o.Json = False,
) -> None:
    """Where did fine-tuning move the weights, in how many directions, and what did it add?"""
    if (tuned is None) == (adapter is None):
        raise SettingsError("two models are compared; give BASE and FT, or BASE and --adapter.")
    run = Run(
        command="diff",
        model=o.absolute_spec(base),
        tuned=None if tuned is None else o.absolute_spec(tuned),
        adapter=None if adapter is None else str(adapter.resolve()),
        dtype=dtype.value,
        trusted=None if trusted is None else str(trusted.resolve()),
        directions=directions,
        texts=None if texts is None else str(texts.resolve()),
        layer=layer,
        seed=seed,
        batch_size=batch_size,
        new_tokens=new_tokens,
        device=device,
    )
    raise typer.Exit(execute(run, out, as_json=as_json))


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Compare, write the results into `out`, and return 0."""
    check_replaceable(out)
    changes, total = _changes(run)
    found = measure(changes(), total, track=track)
    sharp = _sharp(run, changes) if run.trusted is not None and found.changed else None
    added = find_added(run) if run.texts is not None and found.changed else None
    summary = _summary(found, sharp, added)
    _write(out, run, found, sharp, added, summary)
    if as_json:
        results.print_json(data={**summary, "out": str(out)})
    else:
        _conclude(found, sharp, added, out)
    return 0


def _changes(run: Run) -> tuple[Callable[[], Iterator[Change]], int]:
    """What gives the changes, as often as it is called, and how many they are."""
    dtype = getattr(torch, run.dtype)
    base = load_model(str(run.model), None if run.adapter is None else Path(run.adapter), dtype=dtype)
    total = sum(".lora_" not in name for name in model_tensors(base))
    if run.tuned is None:
        return lambda: adapter_changes(base), total
    tuned = load_model(run.tuned, dtype=dtype)
    return lambda: model_changes(base, tuned), total


def _sharp(run: Run, changes: Callable[[], Iterator[Change]]) -> SharpShare:
    differences = {change.name: change.difference.float() for change in changes() if change.difference.any()}
    # The curvature is that of the base model.
    task = replace(run, adapter=None).task()
    sharp = sharp_directions(task, load_trusted(run, task), count=run.directions, seed=run.seed)
    return sharp_share(sharp, task.model, differences)


def _summary(found: WeightDifference, sharp: SharpShare | None, added: Added | None) -> dict[str, Any]:
    return {
        "headline": " ".join(filter(None, (found.headline, found.details))),
        "tensors": len(found.tensors),
        "changed": len(found.changed),
        "relative": _finite(found.relative),
        "largest_rank": found.largest_rank,
        "sharp": None if sharp is None else sharp.plain(),
        "added": None if added is None else added.plain(),
    }


def _row(tensor: TensorDifference) -> dict[str, Any]:
    measures = {"norm": tensor.norm, "base_norm": tensor.base_norm, "relative": _finite(tensor.relative)}
    ranks = {} if tensor.ranks is None else tensor.ranks._asdict()
    return {"name": tensor.name, "shape": list(tensor.shape), **measures, **ranks}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write(
    out: Path,
    run: Run,
    found: WeightDifference,
    sharp: SharpShare | None,
    added: Added | None,
    summary: dict[str, Any],
) -> None:
    """Write `diff.json`, `report.html` and `config.json` into `out`."""
    config = {"run": run.plain(), "versions": versions()}
    title = f"{run.tuned or run.adapter} against {run.model}"
    with result_directory(out) as partial:
        rows = {**summary, "rows": [_row(tensor) for tensor in found.tensors]}
        (partial / "diff.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        shown = [] if added is None else shown_features(added.features, added.pieces, added.answers)
        page = render_difference(found, sharp, added=shown, title=title, settings=config)
        (partial / "report.html").write_text(page, encoding="utf-8")
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _conclude(found: WeightDifference, sharp: SharpShare | None, added: Added | None, out: Path) -> None:
    if found.changed:
        results.print(_table(found.changed[:SHOWN]))
    results.print(found.headline, style="bold", highlight=False, markup=False)
    for sentence in filter(None, (found.details, sharp and sharp.sentence, added and added.sentence)):
        results.print(sentence, highlight=False, markup=False)
    results.print(f"Report: {out / 'report.html'}", soft_wrap=True, markup=False)


def _table(tensors: Sequence[TensorDifference]) -> Table:
    """What moved most, fitting in 80 columns."""
    table = Table(title="Tensors that moved most", title_justify="left", padding=0, box=SIMPLE_HEAD)
    table.add_column("tensor", overflow="fold")
    for heading in ("norm", "over\nbase %", "rank", "effec-\ntive", "90 %", "99 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for tensor in tensors:
        counts = ["–"] * 4
        if (r := tensor.ranks) is not None:
            counts = [f"{r.rank:,}", f"{r.effective_rank:.1f}", f"{r.rank_90:,}", f"{r.rank_99:,}"]
        relative = f"{100 * tensor.relative:.3g}" if tensor.base_norm else "–"
        table.add_row(tensor.name, f"{tensor.norm:.3g}", relative, *counts)
    return table
