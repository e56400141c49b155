"""Eight-bit storage of weight differences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 1024
"""Values that share one scale."""


def quantize(values: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric 8-bit codes of a vector, a scale for each block of 1,024 values.

    Args:
        values: float `[p]`.

    Returns:
        Codes int8 `[p]` and scales float32 `[ceil(p / 1024)]`; the error is at most half a scale.
    """
    blocks = F.pad(values.float(), (0, -len(values) % BLOCK)).view(-1, BLOCK)
    scales = blocks.abs().amax(dim=1) / 127
    codes = (blocks / scales.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().to(torch.int8)
    return codes.flatten()[: len(values)], scales


def dequantize(codes: Tensor, scales: Tensor) -> Tensor:
    """The vector float32 `[p]` that `quantize` stored."""
    blocks = F.pad(codes, (0, -len(codes) % BLOCK)).view(-1, BLOCK)
    return (blocks.float() * scales[:, None]).flatten()[: len(codes)]
