"""Rows of features as batches give them, on disk where memory should not hold them all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO

import numpy as np
import torch
from torch import Tensor

from anomech.disk import disk_errors
from anomech.features.modules import Seen

MOST_IN_MEMORY = 2**31
"""Bytes of features above which they are written to temporary files, in the folder that TMPDIR names."""


class RowStore:
    """Rows of n inputs, layer by layer.

    Args:
        n: Inputs that are expected; by the first batch it is told whether memory should hold the rows of all.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._in_memory = True
        self._rows: Seen = {}
        self._files: dict[str, IO[bytes]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, seen: Seen) -> None:
        """Rows `[b, ...]` of a batch by layer, in as many parts as the layer ran.

        Raises:
            StorageError: They go to the disk, which is full or cannot be written.
        """
        flat = {name: [part.flatten(1).float() for part in parts] for name, parts in seen.items() if parts}
        if not self._counts:
            self._in_memory = 4 * self._n * sum(parts[0].shape[1] for parts in flat.values()) <= MOST_IN_MEMORY
        for name, parts in flat.items():
            self._counts[name] += sum(map(len, parts))
            if self._in_memory:
                self._rows.setdefault(name, []).extend(parts)
            else:
                self._write(name, parts)

    def layers(self) -> dict[str, Tensor]:
        """Float32 `[n, d]` of every layer that gave one row an input."""
        return {name: self._joined(name) for name, count in self._counts.items() if count == self._n}

    def _write(self, name: str, parts: list[Tensor]) -> None:
        with disk_errors(Path(gettempdir()), choose="TMPDIR"):
            if name not in self._files:
                self._files[name] = TemporaryFile()  # noqa: SIM115 - it is gone with the store
            for part in parts:
                self._files[name].write(part.numpy().tobytes())

    def _joined(self, name: str) -> Tensor:
        if self._in_memory:
            return torch.cat(self._rows[name])
        file = self._files[name]
        with disk_errors(Path(gettempdir()), choose="TMPDIR"):
            file.flush()
        # The mapping outlives the file; what is changed in it stays in memory.
        return torch.from_numpy(np.memmap(file, np.float32, mode="c")).view(self._n, -1)
