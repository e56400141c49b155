"""Maps that are kept on disk as they come, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from anomech.explain.attribution import Attribution, Quantity
from anomech.io.atomic import atomic_file
from anomech.progress import Track, silent


@dataclass(frozen=True)
class KeptMaps(Attribution):
    """Another attribution, each of whose maps is kept as soon as it is there, and not computed again.

    Attributes:
        attribution: What computes them, one input at a time.
        folder: Where they are kept; it is made with the first.
        made_of: Plain data that tell these maps from any others of the same inputs: hashes, settings, versions.
    """

    attribution: Attribution
    folder: Path
    made_of: object

    def attribute(self, quantity: Quantity, x: Tensor, *, track: Track = silent) -> Tensor:
        """See `Attribution.attribute`."""
        steps = track(x.split(1), f"{quantity.name} of {len(x):,} inputs by place", len(x))
        return torch.cat([self._of_one(quantity, one) for one in steps])

    def _of_one(self, quantity: Quantity, x: Tensor) -> Tensor:
        path = self.folder / f"{self._name(quantity, x)}.safetensors"
        found = _kept(path)
        if found is None:
            found = self.attribution.attribute(quantity, x)
            with atomic_file(path) as partial:
                save_file({"map": found.contiguous()}, partial)
        return found

    def _name(self, quantity: Quantity, x: Tensor) -> str:
        made_of = [self.made_of, type(self.attribution).__name__, quantity.name, str(x.dtype), list(x.shape)]
        told = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode())
        told.update(x.contiguous().numpy(force=True).tobytes())
        return told.hexdigest()[:32]

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return self.attribution._passes(quantity, shape)

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        return self.attribution._attribute(quantity, x, answers)


def _kept(path: Path) -> Tensor | None:
    try:
        found: Tensor = load_file(path)["map"]
    except (OSError, SafetensorError, KeyError):
        return None
    return found
