"""What a run will take, before it starts."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from anomech.errors import StorageError
from anomech.examples import Examples
from anomech.features import FeatureExtractor
from anomech.tasks import Task

TIMED = 32
"""Inputs that are timed at most: of a language model, a few take seconds."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Predicted cost of a run.

    Attributes:
        seconds: Wall time.
        memory_mb: Memory on top of the model and the data.
        disk_mb: What the artefact takes on disk.
    """

    seconds: float
    memory_mb: float
    disk_mb: float

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}, {self.memory_mb:,.0f} MB of memory, {self.disk_mb:,.0f} MB of disk"


def estimate(task: Task, extractor: FeatureExtractor, trusted: Examples, inputs: int, *, block: int) -> Estimate:
    """Time a few inputs and multiply.

    Args:
        task: The model.
        extractor: The features to be extracted.
        trusted: The trusted examples; the first of them are timed.
        inputs: Number of inputs to be scored.
        block: Inputs that are scored at a time, the first with the trusted examples.
    """
    blocks = max(1, -(-inputs // block))
    passes = extractor.passes_per_input * (len(trusted) + inputs) + 3 * extractor.gradient_passes(blocks)
    return Estimate(
        seconds=passes * seconds_per_pass(task, trusted),
        memory_mb=(
            extractor.working_bytes(task.model) + 4 * extractor.width(task.model) * (len(trusted) + min(inputs, block))
        )
        / 2**20,
        disk_mb=extractor.disk_bytes(task.model) / 2**20,
    )


def seconds_per_pass(task: Task, examples: Examples) -> float:
    """Wall time that a forward pass of one input takes, from a few of them."""
    batch = next(examples.blocks(min(task.fitting(examples), TIMED)))
    task.run(task.model, batch.x[:1])
    start = time.perf_counter()
    task.predict(batch)
    return (time.perf_counter() - start) / len(batch)


def check_disk(needed_mb: float, folder: Path) -> None:
    """Raises StorageError if `folder` has less than `needed_mb` free."""
    existing = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(existing).free / 2**20
    if free < needed_mb:
        raise StorageError(
            f"the run needs {needed_mb:,.0f} MB on disk, {existing} has {free:,.0f} MB free; free some space, choose "
            'another folder, take fewer draws, or keep="seed".'
        )


def duration(seconds: float) -> str:
    """Seconds, roughly, in words."""
    if seconds < 1:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
