"""Do gradients of anomalies lie where the trusted loss is flat, and do few directions of the weights carry them?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor

from anomech.bench.figure import blank, save
from anomech.bench.setup import Scene, Setup
from anomech.bench.suite import Row
from anomech.errors import DataError
from anomech.evaluation import evaluate
from anomech.examples import Examples
from anomech.explain.geometry import Geometry, Group, compare
from anomech.explain.placement import Placement, cosines, place_gradients
from anomech.explain.weight_directions import weight_directions
from anomech.gradients.sharp import sharp_directions
from anomech.measure import measured

logger = logging.getLogger(__name__)

GROUPS = {
    "trusted": "trusted",
    "clean": "clean",
    "alike": "clean, answered like anomalous ones",
    "anomalous": "anomalous",
}
"""Groups of inputs by the keys of the rows."""
EFFECTS = {
    "asr": "attack success",
    "cluster_accuracy": "accuracy on the cluster",
    "accuracy": "accuracy on clean inputs",
    "trusted_kept": "trusted answers that stay",
}
"""Effects of taking directions out of the weights by the keys of the rows."""
COLUMNS = [
    "organism",
    "detector",
    "directions",
    *(f"sharp_{key}" for key in GROUPS),
    "sharp_matched",
    "sharp_random",
    *(f"alignment_{key}" for key in GROUPS),
    "auroc",
    "auroc_low",
    "auroc_high",
    "tpr_at_fpr_5",
    "realised_fpr_5",
    *(f"{key}{when}" for key in EFFECTS for when in ("", "_without", "_control")),
    "held",
    "held_control",
    "seconds",
]
ORGANISMS = ("fashion-badnets", "gtsrb-badnets", "gtsrb-trojan")
"""Those that nothing is trained for."""
TRAINED = (("cifar10", "badnets"),)
"""Those that are trained on the first call."""
DIRECTIONS = (1, 2, 5, 10)
TRUSTED, CLEAN, ATTACKED = 100, 150, 100
"""As many trusted examples again are held out from the loss, to set thresholds on."""


def rows(setup: Setup) -> Iterator[Row]:
    """Every organism that there is data for."""
    for scene in _scenes(setup):
        for row in _rows(scene, setup):
            yield {"organism": scene.organism, "n_trusted": TRUSTED, "seed": setup.seed, **row}


def _scenes(setup: Setup) -> Iterator[Scene]:
    for name in filter(ORGANISMS.__contains__, setup.organisms):
        if scene := setup.scene(name, trusted=2 * TRUSTED, clean=CLEAN, attacked=ATTACKED):
            yield scene
    for dataset, attack in TRAINED if setup.data is not None else ():
        try:
            yield setup.trained_scene(dataset, attack, None, trusted=2 * TRUSTED, clean=CLEAN, attacked=ATTACKED)
        except DataError as error:
            logger.warning("%s-%s is left out: %s", dataset, attack, error)


def _rows(scene: Scene, setup: Setup) -> Iterator[Row]:
    task, seed = scene.task, setup.seed
    half = torch.arange(len(scene.trusted)) % 2 == 0
    trusted = scene.trusted[half]
    anomalous = scene.inputs.anomalous
    assert anomalous is not None
    with measured(task) as usage:
        sharp = sharp_directions(task, trusted, count=max(DIRECTIONS), seed=seed)
        of_trusted, held, of_inputs = (
            place_gradients(task, examples, sharp, seed=seed, track=setup.track)
            for examples in (trusted, scene.trusted[~half], scene.inputs)
        )
    found = compare(sharp, of_trusted, of_inputs, anomalous, names=("clean", "anomalous"), seed=seed)
    cost = {"seconds": usage.seconds}
    for count in DIRECTIONS:
        detection = _detection(
            scene.inputs, of_inputs, *(-p.shares[:, count - 1] for p in (held, of_inputs)), seed=seed
        )
        yield {"detector": "flat energy", "directions": count, **_energies(found, count), **detection, **cost}
    scores = [-cosines(p, of_trusted).mean(1) for p in (held, of_inputs)]
    yield {"detector": "alignment", **_alignments(found), **_detection(scene.inputs, of_inputs, *scores, seed=seed)}
    yield _carried(scene, trusted, anomalous, setup)


def _detection(
    inputs: Examples, placed: Placement, held_scores: Tensor, scores: Tensor, *, seed: int
) -> dict[str, float | None]:
    """What detection there would be by these scores alone."""
    return evaluate(
        inputs, predictions=placed.predictions, scores=scores, trusted_scores=held_scores, fpr=0.05, seed=seed
    )


def _energies(found: Geometry, count: int) -> Row:
    row: Row = {"sharp_random": found.random[count - 1], "sharp_matched": found.group("anomalous").matched[count - 1]}
    for key, group in _groups(found):
        curve = group.sharp
        ends = {"": curve.mean, "_low": curve.low, "_high": curve.high}
        row |= {f"sharp_{key}{end}": values[count - 1] for end, values in ends.items()}
    return row


def _alignments(found: Geometry) -> Row:
    row: Row = {}
    for key, group in _groups(found):
        curve = group.alignment
        ends = {"": curve.mean, "_low": curve.low, "_high": curve.high}
        row |= {f"alignment_{key}{end}": values[0] for end, values in ends.items()}
    return row


def _groups(found: Geometry) -> Iterator[tuple[str, Group]]:
    names = {group.name: group for group in found.groups}
    return ((key, names[name]) for key, name in GROUPS.items() if name in names)


def _carried(scene: Scene, trusted: Examples, anomalous: Tensor, setup: Setup) -> Row:
    with measured(scene.task) as usage:
        found = weight_directions(
            scene.task,
            trusted,
            clean=scene.inputs[~anomalous],
            cluster=scene.inputs[anomalous],
            seed=setup.seed,
            track=setup.track,
        )
    effects = {effect.what: effect for effect in found.effects}
    row: Row = {"detector": "without weight directions", "directions": len(found.layers), "seconds": usage.seconds}
    for key, what in EFFECTS.items():
        effect = effects[what]
        row |= {key: effect.before, f"{key}_without": effect.after, f"{key}_control": effect.control}
    shares = {
        "held": [layer.share for layer in found.layers],
        "held_control": [layer.control for layer in found.layers],
    }
    return row | {key: sum(values) / len(values) for key, values in shares.items()}


STYLES: dict[str, dict[str, Any]] = {
    "trusted": {"color": "0.5"},
    "clean": {"color": "C0"},
    "alike": {"color": "C0", "linestyle": ":"},
    "anomalous": {"color": "C3"},
}
"""Of the lines of each group."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Energies, alignments, and what the model does without the directions, a column an organism."""
    organisms = list(dict.fromkeys(row["organism"] for row in rows))
    canvas = blank((1.2 + 4.2 * len(organisms), 10.0))
    if canvas is None:
        return
    grid = canvas.subplots(3, len(organisms), squeeze=False, sharex="row", sharey="row", height_ratios=(3, 1.3, 2))
    for column, organism in zip(grid.T, organisms, strict=True):
        of = [row for row in rows if row["organism"] == organism]
        _draw_energies(column[0], [row for row in of if row["detector"] == "flat energy"])
        _draw_alignments(column[1], next((row for row in of if row["detector"] == "alignment"), None))
        _draw_effects(column[2], next((row for row in of if row["detector"] == "without weight directions"), None))
        column[0].set_title(organism, fontsize="medium")
    grid[0][0].set_ylabel("share of a gradient's energy in them")
    grid[2][0].set_ylabel("share of inputs")
    _legend(grid[0], below=0.18)
    _legend(grid[2], below=0.32)
    save(canvas, path)


def _legend(line: Any, *, below: float) -> None:
    """What any of the axes in a line show, once, below the first."""
    handles = {label: one for axes in line for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    line[0].legend(
        handles.values(),
        handles.keys(),
        loc="upper left",
        bbox_to_anchor=(0, -below),
        frameon=False,
        fontsize="small",
    )


def _draw_energies(axes: Any, rows: Sequence[Row]) -> None:
    counts = [row["directions"] for row in rows]
    for key, name in GROUPS.items():
        of = [row for row in rows if row.get(f"sharp_{key}") is not None]
        if of:
            mean, low, high = ([row[f"sharp_{key}{end}"] for row in of] for end in ("", "_low", "_high"))
            axes.plot(counts, mean, marker="o", markersize=3, label=name, **STYLES[key])
            axes.fill_between(counts, low, high, color=STYLES[key]["color"], alpha=0.15, linewidth=0)
    for key, name, colour in (("matched", "random, as long in each tensor", "C3"), ("random", "random", "0.5")):
        values = [row[f"sharp_{key}"] for row in rows]
        axes.plot(counts, values, "--", linewidth=1, color=colour, label=name)
    axes.set(xlabel="sharpest directions", ylim=(0, 1))
    axes.grid(alpha=0.3)


def _draw_alignments(axes: Any, row: Row | None) -> None:
    places = {key: -i for i, key in enumerate(GROUPS)}
    for key, place in places.items():
        if row is not None and row.get(f"alignment_{key}") is not None:
            low, high = row[f"alignment_{key}_low"], row[f"alignment_{key}_high"]
            axes.plot([low, high], [place, place], color=STYLES[key]["color"])
            axes.plot([row[f"alignment_{key}"]], [place], "o", markersize=4, color=STYLES[key]["color"])
    axes.set(xlabel="mean cosine with trusted gradients", ylim=(min(places.values()) - 0.5, 0.5))
    axes.set_yticks(list(places.values()), [GROUPS[key].replace(", ", ",\n") for key in places], fontsize="x-small")
    axes.axvline(0, color="0.8", linewidth=0.8)
    axes.grid(alpha=0.3, axis="x")


def _draw_effects(axes: Any, row: Row | None) -> None:
    kinds = (
        ("", "as it is", "0.6"),
        ("_without", "without one direction a layer", "C3"),
        ("_control", "without random ones", "C0"),
    )
    if row is not None:
        for shift, (end, name, colour) in zip((-0.27, 0.0, 0.27), kinds, strict=True):
            values = [row[f"{key}{end}"] for key in EFFECTS]
            axes.bar([i + shift for i in range(len(EFFECTS))], values, 0.25, color=colour, label=name)
    labels = ["\n".join(wrap(what, 9)) for what in EFFECTS.values()]
    axes.set_xticks(range(len(EFFECTS)), labels, fontsize="x-small")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3, axis="y")
