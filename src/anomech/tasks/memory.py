"""How many inputs a batch may hold."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import torch
from torch import Tensor, nn

SHARE = 0.25
"""Share of the free memory that a batch may take."""

COPIES = 4
"""Copies of every layer's output that a backward pass is taken to hold: output, gradient, and what is made of them."""


def inputs_that_fit(model: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Number of inputs whose forward and backward pass fit into the free memory of the device of `x`.

    Args:
        model: The model.
        run: Runs it.
        x: One input, `[1, ...]`.
    """
    sizes: list[int] = []

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * output.element_size())

    leaves = [m for m in model.modules() if next(m.children(), None) is None]
    hooks = [m.register_forward_hook(count) for m in leaves]
    try:
        with torch.no_grad():
            run(x)
    finally:
        for hook in hooks:
            hook.remove()
    needed = COPIES * (sum(sizes) + x.numel() * x.element_size())
    return max(1, int(SHARE * _free_bytes(x.device)) // needed)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)
