"""Draws on disk, so that inputs that arrive later are scored without running the chain again.

A draw is kept as 8-bit differences to the trained weights, with its running statistics in full. Draws are written as
they come, in shards, and read one at a time: memory holds one shard, whatever the number of draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from anomech.disk import disk_errors
from anomech.errors import ArtefactError
from anomech.functional.quantization import BLOCK, dequantize, quantize
from anomech.sampling.flat import FlatModel

SHARD_BYTES = 32 * 2**20


def bytes_per_draw(parameters: int, statistics: int) -> int:
    """Disk that one draw takes."""
    return parameters + 4 * -(-parameters // BLOCK) + 4 * statistics


def write_draws(folder: Path, draws: Iterable[FlatModel], model: nn.Module, parameters: str = "all") -> None:
    """Write every draw as differences to these parameters of `model`."""
    anchor = FlatModel(model, parameters)
    size = max(1, SHARD_BYTES // bytes_per_draw(len(anchor.weights), len(anchor.statistics)))
    shard = {
        "codes": torch.empty(size, len(anchor.weights), dtype=torch.int8),
        "scales": torch.empty(size, -(-len(anchor.weights) // BLOCK)),
        "statistics": torch.empty(size, len(anchor.statistics)),
    }
    number, filled = 0, 0
    for flat in draws:
        shard["codes"][filled], shard["scales"][filled] = quantize(flat.weights - anchor.weights)
        shard["statistics"][filled] = flat.statistics
        filled += 1
        if filled == size:
            _write_shard(folder, number, shard, filled)
            number, filled = number + 1, 0
    if filled:
        _write_shard(folder, number, shard, filled)


def read_draws(folder: Path, model: nn.Module, parameters: str = "all") -> Iterator[FlatModel]:
    """Every stored draw of these parameters, as a copy of `model` changed in place between draws.

    Raises:
        ArtefactError: A shard is missing, damaged, or of another architecture.
    """
    flat = FlatModel(model, parameters)
    anchor = flat.weights.clone()
    for path in sorted(folder.glob("draws-*.safetensors")):
        try:
            with safe_open(path, framework="pt") as shard:
                slices = {name: shard.get_slice(name) for name in ("codes", "scales", "statistics")}
                for i in range(slices["codes"].get_shape()[0]):
                    codes, scales, statistics = (slices[name][i : i + 1][0] for name in slices)
                    flat.weights.copy_(anchor + dequantize(codes, scales).to(anchor.device))
                    flat.statistics.copy_(statistics)
                    yield flat
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ArtefactError(f"{path.name} cannot be read ({error}); fit the auditor again.") from error


def _write_shard(folder: Path, number: int, shard: dict[str, Tensor], filled: int) -> None:
    kept = {name: values[:filled].contiguous() for name, values in shard.items()}
    with disk_errors(folder, choose="TMPDIR"):
        save_file(kept, folder / f"draws-{number:05d}.safetensors")
