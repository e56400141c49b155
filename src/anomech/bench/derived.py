"""Models derived from a base, in the ways that models are passed on: fine-tuned, merged, pruned, quantised, noised."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.errors import DataError, ModelError

Change = Callable[[Tensor, torch.Generator], Tensor]
"""Makes another of a matrix of weights `[out, ...]`."""


WINDOWS = 16
"""Of a text, that a loss is measured on."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a causal language model is trained on a text.

    Attributes:
        steps: Of AdamW, one cycle.
        learning_rate: Its peak.
        batch: Windows a step.
        length: Tokens of a window.
        rank: Of the LoRA adapters on all linear layers, which are merged afterwards; 0 to train every weight.
        seed: Seed of the windows and of the adapters.
    """

    steps: int
    learning_rate: float
    batch: int = 8
    length: int = 96
    rank: int = 0
    seed: int = 0


def pruned(weights: Tensor, _: torch.Generator, *, share: float) -> Tensor:
    """Without so large a share of the smallest entries."""
    largest: Tensor = weights.abs() > weights.abs().flatten().kthvalue(round(share * weights.numel())).values
    return weights * largest


def quantised(weights: Tensor, _: torch.Generator, *, bits: int) -> Tensor:
    """Rounded to so many bits, symmetrically, with a scale for each output."""
    rows = weights.flatten(1)
    scale = rows.abs().amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny) / (2 ** (bits - 1) - 1)
    rounded: Tensor = (rows / scale).round() * scale
    return rounded.view_as(weights)


def noised(weights: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """With normal noise of so large a share of the standard deviation of the entries."""
    return weights + share * weights.std() * torch.randn(weights.shape, generator=generator)


def halved(weights: Tensor, _: torch.Generator) -> Tensor:
    """Rounded to bfloat16."""
    return weights.bfloat16().to(weights.dtype)


CHANGES: dict[str, Change] = {
    "pruned 30 %": partial(pruned, share=0.3),
    "pruned 50 %": partial(pruned, share=0.5),
    "quantised int8": partial(quantised, bits=8),
    "quantised int4": partial(quantised, bits=4),
    "noised 1 %": partial(noised, share=0.01),
    "noised 5 %": partial(noised, share=0.05),
    "bfloat16": halved,
    "pruned 40 %": partial(pruned, share=0.4),
    "quantised int6": partial(quantised, bits=6),
    "noised 2 %": partial(noised, share=0.02),
}
"""What is done to every matrix, without training."""


def changed(base: nn.Module, change: Change, *, seed: int) -> nn.Module:
    """A copy of the model with each of its matrices changed."""
    model, generator = copy.deepcopy(base), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.copy_(change(p, generator))
    return model


def tuned(base: nn.Module, tokens: Tensor, tuning: Tuning) -> nn.Module:
    """A copy of a causal language model that was trained on a text, with adapters merged.

    Args:
        base: It is left as it is.
        tokens: Ids of the text, int64 `[n]`.
        tuning: How.

    Raises:
        DataError: The text is shorter than a window.
        ModelError: The loss is NaN or infinite.
    """
    model: Any = copy.deepcopy(base)
    if tuning.rank:
        model = _with_adapters(model, tuning)
    for _ in trained(model, tokens, tuning):
        pass
    merged: nn.Module = model.merge_and_unload() if tuning.rank else model
    return merged


def trained(model: nn.Module, tokens: Tensor, tuning: Tuning) -> Iterator[float]:
    """Train a causal language model, in place, on random windows of a text.

    Args:
        model: Whatever of it requires gradients is trained.
        tokens: Ids of the text, int64 `[n]`.
        tuning: How.

    Yields:
        The loss of each step.

    Raises:
        DataError: The text is shorter than a window.
        ModelError: The loss is NaN or infinite.
    """
    windows, generator = _windows(tokens, tuning.length), torch.Generator().manual_seed(tuning.seed)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, tuning.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.learning_rate, tuning.steps, pct_start=0.1)
    for _ in range(tuning.steps):
        loss = _loss(model, windows[torch.randint(len(windows), (tuning.batch,), generator=generator)])
        if not bool(loss.isfinite()):
            raise ModelError(f"the loss became {loss.item()} in training; lower the learning rate.")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


def mean_loss(model: nn.Module, tokens: Tensor, *, length: int) -> float:
    """Mean cross-entropy, in nats a token, of `WINDOWS` windows spread evenly over a text `[n]`."""
    found = _windows(tokens, length)
    with torch.no_grad():
        return _loss(model, found[torch.linspace(0, len(found) - 1, WINDOWS).long()]).item()


def _loss(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=x).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), x[:, 1:].flatten())


def _windows(tokens: Tensor, length: int) -> Tensor:
    """All windows of a text `[n]`, a view `[n - length + 1, length]`."""
    if len(tokens) < length:
        raise DataError(f"the text has {len(tokens)} tokens, a window {length}; give a longer text.")
    return tokens.unfold(0, length, 1)


def _with_adapters(model: nn.Module, tuning: Tuning) -> Any:
    import peft

    config = peft.LoraConfig(r=tuning.rank, lora_alpha=2 * tuning.rank, target_modules="all-linear")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # That a layer keeps its weights transposed, peft finds out and says.
        warnings.simplefilter("ignore")
        torch.manual_seed(tuning.seed)
        return peft.get_peft_model(model, config)
