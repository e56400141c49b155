"""`anomech geometry`: where gradients lie, sharp or flat for trusted examples, and which weights carry anomalies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from anomech.cli import options as o
from anomech.cli.console import messages, results, track
from anomech.cli.runs import Run, check_inputs, load_inputs, load_trusted
from anomech.diffing.directions import SharpShare, sharp_share
from anomech.diffing.weights import model_changes
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.geometry import Geometry, compare
from anomech.explain.placement import place_gradients
from anomech.explain.weight_directions import FEWEST, WeightDirections, weight_directions
from anomech.features.modules import select_modules
from anomech.gradients.sharp import sharp_directions
from anomech.io import check_replaceable, load_model, result_directory
from anomech.io.conversations import NEW_TOKENS
from anomech.report import render_geometry
from anomech.tasks import Task
from anomech.versions import versions


def command(
    model: o.Model,
    trusted: o.Trusted,
    inputs: o.Inputs,
    base: Annotated[
        str | None,
        typer.Option(help="The model that it was made from: where does the difference of the weights lie?"),
    ] = None,
    directions: Annotated[int, typer.Option(min=1, help="How many of the sharpest directions are looked at.")] = 20,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers whose weights may carry the anomalies, such as 'features.*,classifier'."),
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="Directions of each layer's weights that are taken out.")] = 1,
    out: o.Out = Path("anomech-geometry"),
    fpr: o.Fpr = 0.01,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    new_tokens: o.NewTokens = NEW_TOKENS,
    device: o.Device = None,
    as_json: o.Json = False,
) -> None:
    """Do anomalies move weights that matter little to trusted examples, and which?

    Anomalous are the inputs that are marked so, or else those that an audit flags.
    """
    run = Run.of(
        "geometry",
        o.build_detector(o.DetectorName.GRADIENT, seed=seed),
        fpr=fpr,
        fdr=None,
        model=o.absolute_spec(model),
        base=None if base is None else o.absolute_spec(base),
        trusted=str(trusted.resolve()),
        inputs=str(inputs.resolve()),
        directions=directions,
        layers=layers,
        rank=rank,
        seed=seed,
        batch_size=batch_size,
        new_tokens=new_tokens,
        device=device,
    )
    raise typer.Exit(execute(run, out, as_json=as_json))


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Measure, write the results into `out`, and return 0."""
    check_replaceable(out)
    task = run.task()
    check_inputs(run, task)
    trusted, inputs = load_trusted(run, task), load_inputs(run, task)
    inputs.require_shape_of(trusted)
    task.check_labels(trusted)
    differences = None if run.base is None else _differences(run)
    if run.layers is not None:
        select_modules(task.model, run.layers)
    anomalous, names = _anomalous(run, task, trusted, inputs)
    messages.print(
        f"[dim]Seeking the {run.directions} sharpest directions of the loss on {len(trusted):,} examples[/dim]"
    )
    sharp = sharp_directions(task, trusted, count=run.directions, seed=run.seed)
    of_trusted, of_inputs = (
        place_gradients(task, examples, sharp, seed=run.seed, track=track) for examples in (trusted, inputs)
    )
    found = compare(sharp, of_trusted, of_inputs, anomalous, names=names, seed=run.seed)
    moved = None if differences is None else sharp_share(sharp, task.model, differences)
    carried = _carried(run, task, trusted, inputs, anomalous)
    _write(out, run, found, moved, carried)
    if as_json:
        results.print_json(data={**_plain(found, moved, carried), "out": str(out)})
    else:
        _conclude(found, moved, carried, out)
    return 0


def _differences(run: Run) -> dict[str, Tensor]:
    """What the model's tensors have that the base's have not, by name."""
    changes = model_changes(load_model(str(run.base)), load_model(str(run.model)))
    found = {change.name: change.difference.float() for change in changes if change.difference.any()}
    if not found:
        raise SettingsError(f"{run.base} has the same weights as the model, so no difference lies anywhere.")
    return found


def _anomalous(run: Run, task: Task, trusted: Examples, inputs: Examples) -> tuple[Tensor, tuple[str, str]]:
    """Which inputs are anomalous, by the truth or by an audit, and what the others and they are called."""
    if inputs.anomalous is not None:
        return inputs.anomalous, ("clean", "anomalous")
    return run.auditor(task).fit_audit(trusted, inputs).flagged, ("unflagged", "flagged")


def _carried(run: Run, task: Task, trusted: Examples, inputs: Examples, anomalous: Tensor) -> WeightDirections | None:
    """The directions that carry the anomalies; None, and a line that says so, where that cannot be told."""
    if not task.has_classes:
        messages.print("[dim]Directions of weights are sought in classifiers alone.[/dim]")
        return None
    if min(int(anomalous.sum()), int((~anomalous).sum())) < 2 * FEWEST:
        messages.print(f"[dim]Directions of weights are sought where {2 * FEWEST} inputs are anomalous.[/dim]")
        return None
    clean, cluster = inputs[~anomalous], inputs[anomalous]
    return weight_directions(
        task, trusted, clean=clean, cluster=cluster, layers=run.layers, rank=run.rank, seed=run.seed, track=track
    )


def _plain(found: Geometry, moved: SharpShare | None, carried: WeightDirections | None) -> dict[str, Any]:
    return {
        **found.plain(),
        "difference": None if moved is None else moved.plain(),
        "weights": None if carried is None else carried.plain(),
    }


def _write(out: Path, run: Run, found: Geometry, moved: SharpShare | None, carried: WeightDirections | None) -> None:
    """Write `geometry.json`, `report.html` and `config.json` into `out`."""
    config = {"run": run.plain(), "versions": versions()}
    with result_directory(out) as partial:
        plain = json.dumps(_plain(found, moved, carried), indent=2)
        (partial / "geometry.json").write_text(plain + "\n", encoding="utf-8")
        page = render_geometry(found, moved, carried, title=f"Geometry of {run.model}", settings=config)
        (partial / "report.html").write_text(page, encoding="utf-8")
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _conclude(found: Geometry, moved: SharpShare | None, carried: WeightDirections | None, out: Path) -> None:
    results.print(_table(found))
    results.print(found.headline, style="bold", highlight=False, markup=False)
    for sentence in filter(None, (carried and carried.sentence, moved and moved.sentence)):
        results.print(sentence, highlight=False, markup=False)
    results.print(f"Report: {out / 'report.html'}", soft_wrap=True, markup=False)


def _table(found: Geometry) -> Table:
    """Where the gradients of each group lie, fitting in 80 columns."""
    title = f"Energy in the {len(found.eigenvalues)} sharpest of {found.parameters:,} directions"
    table = Table(title=title, title_justify="left", padding=0, box=SIMPLE_HEAD)
    table.add_column("gradients", overflow="fold")
    for heading in ("inputs", "energy %\n95 % interval", "random,\nas long in\neach tensor %", "cosine with\ntrusted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group in found.groups:
        mean, low, high = (100 * v[-1] for v in (group.sharp.mean, group.sharp.low, group.sharp.high))
        energy = f"{mean:.1f} ({low:.1f}-{high:.1f})"
        matched, cosine = f"{100 * group.matched[-1]:.1f}", f"{group.alignment.mean[0]:.3f}"
        table.add_row(group.name, f"{group.inputs:,}", energy, matched, cosine)
    table.add_row("a random direction", "", f"{100 * found.random[-1]:.2g}", "", "0.000")
    return table
