"""Features of several sets of inputs, without an auditor around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from anomech.examples import Examples
from anomech.features import FeatureExtractor, Features
from anomech.progress import Track
from anomech.tasks import Task


def fit_and_extract(
    extractor: FeatureExtractor, task: Task, examples: Examples, sets: Sequence[Examples], *, track: Track
) -> list[Features]:
    """Features of each of the sets, from an extractor that is fitted on the examples."""
    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        extractor.fit(task, examples, folder, track=track)
        return [extractor.extract(task, one, folder, track=track) for one in sets]
