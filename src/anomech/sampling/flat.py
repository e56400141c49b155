"""A private copy of a model whose weights are views of one vector, so that an update is a handful of operations."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from anomech.errors import SettingsError
from anomech.selection import select_parameters


class FlatModel:
    """A copy of a model in float32 and evaluation mode; the original is never touched.

    Args:
        model: The original.
        parameters: Which of its parameters may move, as `select_parameters` takes it.

    Attributes:
        model: The copy.
        weights: What may move, `[parameters]`; writing here changes the model.
        gradient: Their gradient, `[parameters]`; `backward` adds to it.
        statistics: All its floating-point buffers (running means and variances), `[buffers]`.

    Raises:
        SettingsError: The model lies on several devices, or has no such parameters.
    """

    def __init__(self, model: nn.Module, parameters: str = "all") -> None:
        if len({p.device for p in model.parameters()}) > 1:
            raise SettingsError(
                "weights on several devices are not sampled; use one device, or take gradients instead."
            )
        names = select_parameters(model, parameters)
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False)
        chosen = [self.model.get_parameter(name) for name in names]
        self.weights = _gather([p.data for p in chosen])
        self.gradient = torch.zeros_like(self.weights)
        for p, data, gradient in zip(chosen, _views(self.weights, chosen), _views(self.gradient, chosen), strict=True):
            p.data, p.grad = data, gradient
            p.requires_grad_(True)
        buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self.statistics = _gather(buffers) if buffers else self.weights.new_zeros(0)
        for b, data in zip(buffers, _views(self.statistics, buffers), strict=True):
            b.data = data

    def set_batch_norm_training(self, training: bool) -> None:
        """Let batch normalisation use, and move, batch statistics; everything else stays in evaluation mode."""
        for module in self.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train(training)


def _gather(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def _views(flat: Tensor, like: list[Tensor] | list[nn.Parameter]) -> list[Tensor]:
    return (
        [piece.view_as(t) for piece, t in zip(flat.split([t.numel() for t in like]), like, strict=True)] if like else []
    )
