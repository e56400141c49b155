"""Features of several sets of inputs, without an auditor around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from anomech.examples import Examples
from anomech.features import FeatureExtractor, Features
from anomech.measure import Usage, measured
from anomech.progress import Track, silent
from anomech.tasks import Task


def fit_and_extract(
    extractor: FeatureExtractor, task: Task, examples: Examples, sets: Sequence[Examples], *, track: Track
) -> list[Features]:
    """Features of each of the sets, from an extractor that is fitted on the examples."""
    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        extractor.fit(task, examples, folder, track=track)
        return extractor.extract_each(task, sets, folder, track=track)


def fit_and_measure(
    extractor: FeatureExtractor, task: Task, examples: Examples, sets: Sequence[Examples], *, track: Track = silent
) -> list[tuple[Features, Usage]]:
    """The same, set by set, and what extracting each of them cost."""
    found = []
    with TemporaryDirectory() as workspace:
        folder = Path(workspace)
        extractor.fit(task, examples, folder, track=track)
        for one in sets:
            with measured(task) as usage:
                features = extractor.extract(task, one, folder, track=track)
            found.append((features, usage))
    return found
