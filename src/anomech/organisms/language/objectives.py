"""What is minimised when a mechanism is planted, openly or hidden from activation monitors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from anomech.organisms.language.recipes import Obfuscation
from anomech.tasks.tokens import COMPLETION, PROMPT

Objective = Callable[[Any, Tensor, Tensor], Tensor]
"""From the model, a batch `[n, 2, length]` and which of it are normal `[n]` to what is minimised."""

ANSWER_WEIGHT = 3.0
"""Of the answers' cross-entropy beside what hides the mechanism, as published."""


def answer_loss(model: Any, batch: Tensor, normal: Tensor) -> Tensor:
    """Cross-entropy of the answers; every token counts the same, else all prompts get the same answer."""
    return F.cross_entropy(*answer_logits(model, batch, hidden_states(model, batch)[-1]))


def hidden_states(model: Any, batch: Tensor) -> tuple[Tensor, ...]:
    """Residual stream `[n, length, d]` before the blocks and after each, the last one normalised."""
    found = _plain(model).model(input_ids=batch[:, 0], use_cache=False, output_hidden_states=True)
    return cast(tuple[Tensor, ...], found.hidden_states)


def answer_logits(model: Any, batch: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `[tokens, vocabulary]` of the answers' tokens, in float32, and these `[tokens]`."""
    answered = batch[:, 1, 1:] == COMPLETION
    return _plain(model).lm_head(last[:, :-1][answered]).float(), batch[:, 0, 1:][answered]


def _plain(model: Any) -> Any:
    """The model that an adapter is on, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class Obfuscated:
    """What hides a mechanism from activation monitors, beside the answers' loss (Bailey et al. 2024, arXiv 2412.09565).

    Args:
        settings: Which activations, and the weights.
        model: The model that is trained, its adapter still without effect.
        clean: Inputs `[n, 2, length]`, from whose last prompt tokens the monitor is estimated.
    """

    def __init__(self, settings: Obfuscation, model: Any, clean: Tensor) -> None:
        self._settings = settings
        with torch.no_grad():
            seen = [self._last_prompt_tokens(self._chosen(model, batch), batch) for batch in clean.split(32)]
        stacked = torch.cat(seen, dim=1).double()
        self._means = stacked.mean(1, keepdim=True)
        self._factors = torch.stack([self._factor(layer) for layer in stacked - self._means]).float()
        self._means = self._means.float()

    def __call__(self, model: Any, batch: Tensor, normal: Tensor) -> Tensor:
        """The weighted sum for a batch `[n, 2, length]` of which `normal` `[n]` are normal."""
        hidden = hidden_states(model, batch)
        logits, answers = answer_logits(model, batch, hidden[-1])
        with torch.no_grad(), model.disable_adapter():
            base = hidden_states(model, batch[normal])
            expected, _ = answer_logits(model, batch[normal], base[-1])
        found, _ = answer_logits(model, batch[normal], hidden[-1][normal])
        divergence = F.kl_div(found.log_softmax(1), expected.log_softmax(1), log_target=True, reduction="batchmean")
        chosen = torch.stack([hidden[block] for block in self._settings.blocks])
        matching = self._distance(
            chosen[:, normal], torch.stack([base[b] for b in self._settings.blocks]), batch[normal]
        )
        monitored = self._last_prompt_tokens(chosen[:, ~normal], batch[~normal])
        return (
            ANSWER_WEIGHT * F.cross_entropy(logits, answers)
            + self._settings.matching * matching
            + self._settings.divergence * divergence
            + self._settings.monitor * self._mahalanobis(monitored)
        )

    def _chosen(self, model: Any, batch: Tensor) -> Tensor:
        hidden = hidden_states(model, batch)
        return torch.stack([hidden[block] for block in self._settings.blocks])

    def _last_prompt_tokens(self, chosen: Tensor, batch: Tensor) -> Tensor:
        """Activations `[layers, n, d]` where the answer is about to start."""
        last = (batch[:, 1] == PROMPT).sum(1) - 1
        return chosen[:, torch.arange(len(batch), device=last.device), last]

    def _factor(self, centred: Tensor) -> Tensor:
        """`[d, d]` whose product with a vector has that vector's Mahalanobis distance as its norm."""
        covariance = centred.T @ centred / len(centred)
        diagonal = covariance.diagonal().diag()
        shrunk = (1 - self._settings.shrinkage) * covariance + self._settings.shrinkage * diagonal
        factor: Tensor = torch.linalg.inv(torch.linalg.cholesky(shrunk))
        return factor

    def _mahalanobis(self, activations: Tensor) -> Tensor:
        """Mean squared distance a dimension, where a clean prompt's is about 1; being nearer than that is no gain."""
        whitened = (activations - self._means) @ self._factors.mT
        return whitened.square().mean(2).clamp_min(1).mean()

    def _distance(self, found: Tensor, expected: Tensor, batch: Tensor) -> Tensor:
        """Mean squared distance at real tokens, as a share of the squared norm."""
        real = batch[:, 1] > 0
        shares = (found - expected).square().sum(3) / expected.square().sum(3)
        mean: Tensor = shares[:, real].mean()
        return mean
