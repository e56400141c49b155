"""Which reading of gradient sketches detects best: trusted examples taken in pairs, then jointly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import torch

from anomech.bench.extraction import fit_and_measure
from anomech.bench.setup import Scene, Setup
from anomech.bench.subsets import over_subsets
from anomech.bench.suite import Row
from anomech.detectors import Detector, GradientCoupling, GradientSpan
from anomech.features import Features, GradientSketch
from anomech.tasks import ClassificationTask

COLUMNS = [
    "organism",
    "detector",
    "n_trusted",
    "auroc",
    "auroc_filtered",
    "tpr_at_fpr_1",
    "realised_fpr_1",
    "tpr_at_fpr_5",
    "realised_fpr_5",
    "der",
    "seconds",
    "forward_equivalents",
]
TRUSTED = 500
SIZES = (100, TRUSTED)


NAIVE = GradientCoupling(measure="cosine", centred=False, balance="whole")
PAIRWISE = GradientCoupling()
RECIPE = GradientSpan()

READINGS: dict[str, Detector] = {
    "pairs: cosine over all parameters": NAIVE,
    "+ balanced: mean of the layers' cosines": replace(NAIVE, balance="mean"),
    "+ scale: identity for cosine": replace(PAIRWISE, centred=False, balance="mean"),
    "+ centred": replace(PAIRWISE, balance="mean"),
    "+ nearest in each layer first": PAIRWISE,
    "pairs, nearest of the own class": replace(PAIRWISE, pooling="nearest-own-class"),
    "pairs, own class": replace(PAIRWISE, pooling="own-class"),
    "pairs, class level": replace(PAIRWISE, pooling="class-level"),
    "pairs, single nearest": replace(PAIRWISE, k=1),
    "jointly: what no combination explains (default)": RECIPE,
    "default, worst layers alone": replace(RECIPE, reading="layers"),
    "default, pattern alone": replace(RECIPE, reading="pattern"),
    "default, mean over layers for worst": replace(RECIPE, sharpness=0.01),
    "default, single worst layer": replace(RECIPE, sharpness=50.0),
    "default, damping 0.0001": replace(RECIPE, damping=1e-4),
    "default, damping 0.01": replace(RECIPE, damping=1e-2),
    "default, damping 0.1": replace(RECIPE, damping=0.1),
}

SKETCHES = {
    "default, of the loss": GradientSketch(behaviour="loss"),
    "default, size 8": GradientSketch(size=8),
    "default, size 16": GradientSketch(size=16),
    "default, size 32": GradientSketch(size=32),
    "default, bfloat16": GradientSketch(precision="bfloat16"),
    "default, diagonal curvature, damping 100": GradientSketch(preconditioner="diagonal"),
    "default, low-rank curvature, damping 100": GradientSketch(preconditioner="low-rank"),
    "default, low-rank curvature, damping 0.01": GradientSketch(preconditioner="low-rank", gamma=1.0),
    "default, low-rank curvature, damping 0.0001": GradientSketch(preconditioner="low-rank", gamma=0.01),
}


def rows(setup: Setup) -> Iterator[Row]:
    """Every reading of the default sketch, then the default reading of other sketches."""
    images = setup.scenes(trusted=2 * TRUSTED, clean=1000, attacked=800)
    for scene in chain(images, setup.language_scenes()):
        common = {"organism": scene.organism, "seed": setup.seed}
        cost, trusted, inputs = _extract(scene, GradientSketch(seed=setup.seed), setup)
        for size in SIZES:
            for name, reading in READINGS.items():
                figures = over_subsets(reading, trusted, inputs, scene.inputs, size=size, seed=setup.seed)
                yield {**common, "detector": name, **cost, **figures}
        # A language model's sketches take minutes, and its mean log-odds have no curvature of their own.
        for name, sketch in SKETCHES.items() if isinstance(scene.task, ClassificationTask) else ():
            cost, trusted, inputs = _extract(scene, replace(sketch, seed=setup.seed), setup)
            for size in SIZES:
                figures = over_subsets(RECIPE, trusted, inputs, scene.inputs, size=size, seed=setup.seed)
                yield {**common, "detector": name, **cost, **figures}


def _extract(scene: Scene, sketch: GradientSketch, setup: Setup) -> tuple[Row, Features, Features]:
    """What scoring costs, features of one half of the trusted examples, and of the inputs; curvature is the other's."""
    half = torch.arange(len(scene.trusted)) % 2 == 0
    sets = (scene.trusted[half], scene.inputs)
    (trusted, _), (inputs, usage) = fit_and_measure(sketch, scene.task, scene.trusted[~half], sets, track=setup.track)
    passes = usage.forward_passes / len(scene.inputs)
    return {"seconds": usage.seconds, "forward_equivalents": passes}, trusted, inputs
