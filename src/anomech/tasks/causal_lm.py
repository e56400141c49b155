"""Language models: the behaviour is how firmly the model holds to the tokens of its own completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.errors import DataError, ModelError
from anomech.examples import Examples
from anomech.functional.losses import log_odds
from anomech.tasks.base import Task
from anomech.tasks.tokens import (
    COMPLETION,
    PADDING,
    PROMPT,
    check_tokens,
    context_of,
    pad_tokens,
    rejected_tokens,
    trimmed,
)


class CausalLMTask(Task):
    """A Hugging Face causal language model, and prompts with completions as `join_tokens` makes them.

    Inputs are int64 `[n, 2, length]`: token ids, padded on the right, and their roles. What follows a token has no
    influence on it in such a model, so padding needs no mask.

    Raises:
        DataError: An input is not of that form, or has no prompt or no completion.
        ModelError: The model rejects the tokens, returns no logits for them or NaN.
    """

    has_classes: ClassVar[bool] = False

    def outputs(self, model: nn.Module, x: Tensor) -> Tensor:
        """Mean log-odds and mean negative log-likelihood, `[n, 2]`, of the completion's tokens."""
        check_tokens(x)
        ids, completed = x[:, 0], x[:, 1] == COMPLETION
        before, counted = _completions(completed)
        chosen = ids.gather(1, before + 1)
        logits = _logits(model, ids, before)
        firmness = log_odds(logits.flatten(0, 1).float(), chosen.flatten()).view(chosen.shape)
        values = torch.stack([firmness, F.softplus(-firmness)], dim=2)
        return (values * counted[..., None]).sum(1) / counted.sum(1)[:, None]

    def hidden_states(self, x: Tensor) -> tuple[Tensor, ...]:
        """The residual stream `[n, length, d]` before the first block and after every one."""
        check_tokens(x)
        self.cost.forward_passes += len(x)
        ids = trimmed(x)[:, 0].to(self.device)
        return tuple(_run(self.model, ids, logits_to_keep=1, output_hidden_states=True).hidden_states)

    def prompt_loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood `[n]` of the prompt's tokens after its first, 0 where there is no other."""
        check_tokens(x)
        self.cost.forward_passes += len(x)
        x = trimmed(x)
        ids, counted = x[:, 0].to(self.device), (x[:, 1, 1:] == PROMPT).to(self.device)
        logits = _logits(self.model, ids, _every(ids))
        losses = F.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")
        return (losses.view(counted.shape) * counted).sum(1) / counted.sum(1).clamp_min(1)

    def next_token_losses(self, x: Tensor, tokens: Sequence[int]) -> Tensor:
        """Negative log-likelihood `[n, k]` of each of k tokens where the prompt ends, whatever follows it."""
        check_tokens(x)
        self.cost.forward_passes += len(x)
        x = trimmed(x).to(self.device)
        last = (x[:, 1] == PROMPT).sum(1, keepdim=True) - 1
        logits = _logits(self.model, x[:, 0], last)[:, 0].float()
        return -logits.log_softmax(1)[:, list(tokens)]

    def run(self, model: nn.Module, x: Tensor) -> Tensor:
        """Outputs of one batch, which is run without the padding that all of it has."""
        return super().run(model, trimmed(x))

    def check_labels(self, examples: Examples) -> None:
        """Raises DataError unless every input has a prompt, then a completion, then at most padding, and fits in."""
        check_tokens(examples.x)
        roles = examples.x[:, 1]
        rank = (roles - PROMPT) % 3
        known = roles.clamp(PADDING, COMPLETION) == roles
        ordered = (rank[:, 0] == 0) & (rank.diff(dim=1) >= 0).all(1)
        usable = known.all(1) & ordered & (roles == COMPLETION).any(1)
        if not usable.all():
            first = examples.ids[int((~usable).nonzero()[0])]
            raise DataError(
                f"{int((~usable).sum())} of {len(examples)} inputs, first {first!r}, are not a prompt (role {PROMPT}), "
                f"a completion ({COMPLETION}) and padding ({PADDING}) in that order, the first two at least one token "
                "each; build them with join_tokens, or of a padded batch with from_padded."
            )
        context = context_of(getattr(self.model, "config", None))
        lengths = (roles != PADDING).sum(1)
        if lengths.max() > context:
            longest = examples.ids[int(lengths.argmax())]
            raise DataError(
                f"{int((lengths > context).sum())} of {len(examples)} inputs have more than the {context} tokens that "
                f"the model takes, {longest!r} {int(lengths.max())}; shorten them or leave them out."
            )

    def own_output(self, outputs: Tensor) -> Tensor:
        """Zeros `[n]`: completions are of one class, and are part of the input."""
        if not torch.isfinite(outputs).all():
            raise ModelError(
                "the model returns NaN or infinite logits on these inputs, or an input has no completion; "
                "check its weights and its inputs."
            )
        return torch.zeros(len(outputs), dtype=torch.int64, device=outputs.device)

    def evidence(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean log-odds `[n]` of the completion's tokens."""
        return outputs[:, 0]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean negative log-likelihood `[n]` of the completion's tokens."""
        return outputs[:, 1]


def join_tokens(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], *, length: int | None = None
) -> Tensor:
    """Inputs of a `CausalLMTask`.

    Args:
        prompts: Token ids of each prompt.
        completions: Token ids of what the model answered to each.
        length: Tokens to pad to; by default as many as the longest needs.

    Returns:
        Token ids and roles, int64 `[n, 2, length]`.

    Raises:
        DataError: A prompt or completion is missing or empty, or `length` is too short.
    """
    if len(prompts) != len(completions) or not prompts:
        raise DataError(f"{len(prompts)} prompts and {len(completions)} completions; give one completion a prompt.")
    pairs = [(list(prompt), list(completion)) for prompt, completion in zip(prompts, completions, strict=True)]
    for i, (prompt, completion) in enumerate(pairs):
        if not prompt or not completion:
            raise DataError(f"the {'completion' if prompt else 'prompt'} at {i} is empty; leave that pair out.")
    roles = [[PROMPT] * len(prompt) + [COMPLETION] * len(completion) for prompt, completion in pairs]
    return pad_tokens([prompt + completion for prompt, completion in pairs], roles, length=length)


def from_padded(ids: Tensor, attention_mask: Tensor, completed: Tensor) -> Tensor:
    """Inputs of a `CausalLMTask` out of a batch that is padded on either side, as tokenizers and `generate` give it.

    Args:
        ids: Token ids `[n, length]`.
        attention_mask: 1 at tokens that are read, 0 at padding, `[n, length]`.
        completed: Which of the tokens are of the completion, bool `[n, length]`.

    Returns:
        Token ids and roles, int64 `[n, 2, length]`, padded on the right.

    Raises:
        DataError: The three differ in shape.
    """
    if not ids.shape == attention_mask.shape == completed.shape or ids.ndim != 2:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in (ids, attention_mask, completed))
        raise DataError(f"ids, attention_mask and completed must be [n, length] of one shape, got {shapes}.")
    roles = torch.where(completed.bool(), COMPLETION, PROMPT) * attention_mask.bool()
    order = (roles == PADDING).int().argsort(dim=1, stable=True)
    x = torch.stack([ids * attention_mask.bool(), roles], dim=1).long()
    return x.gather(2, order[:, None].expand(-1, 2, -1))


def _completions(completed: Tensor) -> tuple[Tensor, Tensor]:
    """Positions before the tokens of each completion and which of them count, `[n, longest]` each.

    Where `torch.func` hides the values, all positions, which is the safe answer.
    """
    try:
        longest = int(completed.sum(1).max())
    except RuntimeError:
        return _every(completed), completed[:, 1:]
    steps = torch.arange(longest, device=completed.device)
    before = completed.int().argmax(1)[:, None] - 1 + steps
    return before.clamp(0, completed.shape[1] - 2), steps < completed.sum(1)[:, None]


def _every(ids: Tensor) -> Tensor:
    """Positions of all tokens that another follows, for each input."""
    return torch.arange(ids.shape[1] - 1, device=ids.device).expand(len(ids), -1)


def _logits(model: nn.Module, ids: Tensor, positions: Tensor) -> Tensor:
    """Logits `[n, m, vocabulary]` at positions `[n, m]`; the head, a large part of a small model, sees no others."""
    with _head_reads_only(model, positions):
        logits = getattr(_run(model, ids), "logits", None)
    if isinstance(logits, Tensor) and logits.ndim == 3 and logits.shape[:2] == ids.shape:
        logits = _taken(logits, positions)
    if not isinstance(logits, Tensor) or logits.ndim != 3 or logits.shape[:2] != positions.shape:
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the model maps {list(ids.shape)} tokens to {shape}; expected logits [n, length, vocabulary], as a causal "
            "language model's head gives them."
        )
    return logits


@contextmanager
def _head_reads_only(model: nn.Module, positions: Tensor) -> Iterator[None]:
    """Within, the model's head is given the hidden states at positions `[n, m]`, if it has a head of its own."""
    find: Any = getattr(model, "get_output_embeddings", lambda: None)
    head = find()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, args: (_taken(args[0], positions), *args[1:]))
    try:
        yield
    finally:
        hook.remove()


def _taken(values: Tensor, positions: Tensor) -> Tensor:
    """Values `[n, m, d]` at positions `[n, m]` of values `[n, length, d]`."""
    return values.gather(1, positions.to(values.device)[..., None].expand(-1, -1, values.shape[2]))


def _run(model: nn.Module, ids: Tensor, **options: Any) -> Any:
    """What the model returns for token ids `[n, length]`; every layer sees tensors that have the samples first."""
    positions = torch.arange(ids.shape[1], device=ids.device).expand(len(ids), -1)
    with rejected_tokens(ids):
        return model(input_ids=ids, position_ids=positions, use_cache=False, **options)
