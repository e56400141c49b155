"""What work costs: seconds, forward passes of the audited model, peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from anomech.tasks import Task


@dataclass
class Usage:
    """Cost of a piece of work.

    Attributes:
        seconds: Wall time.
        forward_passes: Inputs passed forward through the model; a backward pass counts as two.
        peak_memory_mb: Peak of the process so far, or of the GPU where the model runs on one.
    """

    seconds: float = 0.0
    forward_passes: float = 0.0
    peak_memory_mb: float = 0.0


@contextmanager
def measured(task: Task) -> Iterator[Usage]:
    """Fill in a `Usage` when the block ends."""
    usage = Usage()
    passes, start = task.cost.forward_passes, time.perf_counter()
    yield usage
    usage.seconds = time.perf_counter() - start
    usage.forward_passes = task.cost.forward_passes - passes
    usage.peak_memory_mb = _peak_memory_mb(task.device)


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
