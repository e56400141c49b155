"""Gradients of a number in the pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Quantity, gradient, require_gradient, require_images
from anomech.functional.corruptions import gaussian_blur

Baseline = Literal["blurred", "black", "grey"]


@dataclass(frozen=True, kw_only=True)
class Gradient(Attribution):
    """How far the number moves with each pixel, whichever way: the length of its gradient over the channels.

    Source: Simonyan et al. 2013 (arXiv 1312.6034).
    """

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_images(x)
        lengths: Tensor = gradient(quantity, x, answers).norm(dim=1)
        return lengths


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Attribution):
    """What each pixel adds to the number on the straight way from an image that says nothing to this one.

    Source: Sundararajan et al. 2017 (arXiv 1703.01365), by captum.

    Attributes:
        steps: Images on the way.
        baseline: Where it begins: the image itself, "blurred" beyond recognition; or a "black" or "grey" one.
    """

    steps: int = 16
    baseline: Baseline = "blurred"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise SettingsError(f"steps must be at least 2, got {self.steps}.")
        if self.baseline not in get_args(Baseline):
            raise SettingsError(f"baseline must be one of {', '.join(get_args(Baseline))}; got {self.baseline!r}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return self.steps * quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        # Importing captum takes a second, which no command should that does not need it.
        from captum.attr import IntegratedGradients as CaptumIntegratedGradients

        require_images(x)
        require_gradient(quantity, gradient(quantity, x[:1], answers[:1]))
        found: Tensor = CaptumIntegratedGradients(quantity.differentiable).attribute(
            x,
            baselines=self._from(x),
            additional_forward_args=(answers,),
            n_steps=self.steps,
            internal_batch_size=max(len(x), quantity.task.batch_size // 4),
        )
        return found.detach().cpu().float().sum(dim=1)

    def _from(self, x: Tensor) -> Tensor:
        match self.baseline:
            case "blurred":
                return gaussian_blur(x, 5)
            case "black":
                return torch.zeros_like(x)
            case _:
                return torch.full_like(x, 0.5)
