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
    *DETECTION,
    "asr",
]
SIZES = (50, 100, 200, 500)
SUBSETS = 40
"""With 100 trusted examples the threshold at 1 % is the highest of their scores, which varies a lot."""


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
    for scene in setup.scenes(trusted=max(SIZES)):
        for name, detector in detectors(setup.seed).items():
            sets = (scene.trusted, scene.inputs)
            trusted, inputs = fit_and_extract(detector.features, scene.task, scene.trusted, sets, track=setup.track)
            for size in SIZES:
                figures = over_subsets(
                    detector, trusted, inputs, scene.inputs, size=size, seed=setup.seed, subsets=SUBSETS
                )
                yield {"organism": scene.organism, "detector": name, "seed": setup.seed, **figures}
