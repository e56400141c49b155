"""Gradients of a number in the pixels of an image, or in the embeddings of a prompt's tokens."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import (
    Attribution,
    Quantity,
    gradient,
    number_at,
    over_channels,
    point,
    require_gradient,
    require_places,
)
from anomech.explain.quantities import Output
from anomech.functional.corruptions import gaussian_blur
from anomech.gradients.embeddings import mean_embedding
from anomech.gradients.relevance import relevance
from anomech.tasks.tokens import is_prompt

Baseline = Literal["blurred", "black", "grey"]
Backward = Literal["gradient", "relp"]


@dataclass(frozen=True, kw_only=True)
class Gradient(Attribution):
    """How far the number moves with each place, whichever way: the length of its gradient over the channels.

    Of tokens it is the length over the entries of their embeddings.

    Source: Simonyan et al. 2013 (arXiv 1312.6034).
    """

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_places(x)
        lengths: Tensor = gradient(quantity, x, answers).norm(dim=over_channels(x))
        return lengths


@dataclass(frozen=True, kw_only=True)
class GradientTimesInput(Attribution):
    """What each place adds to the number to first order: the product of its gradient and of what is there.

    Sources: Shrikumar et al. 2016 (arXiv 1605.01713); Jafari et al. 2025 (arXiv 2508.21258) for RelP.

    Attributes:
        backward: "gradient"; or "relp", the propagation coefficients of relevance patching, of a language model's
            output.
    """

    backward: Backward = "gradient"

    def __post_init__(self) -> None:
        if self.backward not in get_args(Backward):
            raise SettingsError(f"backward must be one of {', '.join(get_args(Backward))}; got {self.backward!r}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return quantity.gradient_passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_places(x)
        if self.backward == "relp" and not isinstance(quantity, Output):
            raise SettingsError(f"RelP has rules for the way back from the output, not from the {quantity.name}.")
        with relevance(quantity.task.model) if self.backward == "relp" else nullcontext():
            found = gradient(quantity, x, answers)
        return (found * point(quantity, x).cpu()).float().sum(dim=over_channels(x))


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Attribution):
    """What each place adds to the number on the straight way from an input that says nothing to this one.

    Of texts these are layer integrated gradients, of the layer of embeddings.

    Source: Sundararajan et al. 2017 (arXiv 1703.01365), by captum.

    Attributes:
        steps: Inputs on the way.
        baseline: Where it begins: the image itself, "blurred" beyond recognition; or a "black" or "grey" one. Of texts,
            whatever it is, every token of the prompt begins at the mean embedding.
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

        require_places(x)
        require_gradient(quantity, gradient(quantity, x[:1], answers[:1]))

        def number(where: Tensor, own: Tensor, answers: Tensor) -> Tensor:
            return number_at(quantity, where, own, answers)

        end = point(quantity, x)
        found: Tensor = CaptumIntegratedGradients(number).attribute(
            end,
            baselines=self._from(end) if x.is_floating_point() else _unsaid(quantity, end, x),
            additional_forward_args=(x, answers),
            n_steps=self.steps,
            internal_batch_size=max(len(x), quantity.task.batch_size // 4),
        )
        return found.detach().cpu().float().sum(dim=over_channels(x))

    def _from(self, x: Tensor) -> Tensor:
        match self.baseline:
            case "blurred":
                return gaussian_blur(x, 5)
            case "black":
                return torch.zeros_like(x)
            case _:
                return torch.full_like(x, 0.5)


def _unsaid(quantity: Quantity, embeddings: Tensor, x: Tensor) -> Tensor:
    """The embeddings `[m, length, d]` with the mean one in place of those of prompts."""
    prompts = is_prompt(x).to(embeddings.device)[..., None]
    return torch.where(prompts, mean_embedding(quantity.task.model).to(embeddings), embeddings)
