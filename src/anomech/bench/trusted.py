"""How much detection hangs on the size of the trusted set."""

from __future__ import annotations

from collections.abc import Iterator

from anomech.bench.extraction import fit_and_extract
from anomech.bench.setup import Setup
from anomech.bench.subsets import over_subsets
from anomech.bench.suite import DETECTION, Row
from anomech.detectors import Detector, GradientSpan, Mahalanobis, MaxSoftmax, TypicalConfidence
from anomech.features import GradientSketch

COLUMNS = [
    "organism",
    "detector",
    "n_trusted",
    "subsets",
    *DETECTION,
    "asr",
]
SUBSETS = {50: 40, 100: 200, 200: 40, 500: 1}
"""Random trusted sets of each size; with 100 examples the threshold at 1 % is the highest score, which varies a lot."""


def detectors(seed: int) -> dict[str, Detector]:
    """The default and what a sceptic would try first."""
    return {
        "gradient": GradientSpan(features=GradientSketch(seed=seed)),
        "mahalanobis": Mahalanobis(),
        "typical-confidence": TypicalConfidence(),
        "max-softmax": MaxSoftmax(),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Every detector on the same random trusted sets of each size."""
    for scene in setup.scenes(trusted=max(SUBSETS)):
        for name, detector in detectors(setup.seed).items():
            sets = (scene.trusted, scene.inputs)
            trusted, inputs = fit_and_extract(detector.features, scene.task, scene.trusted, sets, track=setup.track)
            for size, subsets in SUBSETS.items():
                figures = over_subsets(
                    detector, trusted, inputs, scene.inputs, size=size, seed=setup.seed, subsets=subsets
                )
                yield {"organism": scene.organism, "detector": name, "seed": setup.seed, **figures}
