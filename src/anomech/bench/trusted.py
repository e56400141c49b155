"""How much detection hangs on the size of the trusted set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from anomech.bench.setup import Scene, Setup
from anomech.bench.subsets import over_subsets
from anomech.bench.suite import Row
from anomech.detectors import Detector, GradientCoupling, Mahalanobis, MaxSoftmax, TypicalConfidence
from anomech.features import Features, GradientSketch

COLUMNS = [
    "organism",
    "detector",
    "n_trusted",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_filtered",
    "tpr_at_fpr_1",
    "realised_fpr_1",
    "tpr_at_fpr_5",
    "realised_fpr_5",
    "der",
    "asr",
]
SIZES = (50, 100, 200, 500)


def detectors(seed: int) -> dict[str, Detector]:
    """The default and what a sceptic would try first."""
    return {
        "gradient": GradientCoupling(features=GradientSketch(seed=seed)),
        "mahalanobis": Mahalanobis(),
        "typical-confidence": TypicalConfidence(),
        "max-softmax": MaxSoftmax(),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Every detector on the same random trusted sets of each size."""
    for scene in setup.scenes(trusted=max(SIZES)):
        for name, detector in detectors(setup.seed).items():
            features = _extract(scene, detector, setup)
            for size in SIZES:
                figures = over_subsets(detector, *features, scene.inputs, size=size, seed=setup.seed)
                yield {"organism": scene.organism, "detector": name, "seed": setup.seed, **figures}


def _extract(scene: Scene, detector: Detector, setup: Setup) -> tuple[Features, Features]:
    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        detector.features.fit(scene.task, scene.trusted, folder, track=setup.track)
        first, second = (
            detector.features.extract(scene.task, examples, folder, track=setup.track)
            for examples in (scene.trusted, scene.inputs)
        )
    return first, second
