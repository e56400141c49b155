"""Inputs of language models: token ids, padded on the right, and what each token is for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.tasks.base import rejections

PADDING, PROMPT, COMPLETION = range(3)
"""Roles of tokens."""


def check_tokens(x: Tensor) -> None:
    """Raises DataError unless inputs are token ids and their roles, int64 `[n, 2, length]`."""
    if x.ndim != 3 or x.shape[1] != 2 or x.shape[2] < 1 or x.dtype != torch.int64:
        raise DataError(
            f"inputs of a language model are int64 [n, 2, length], got {x.dtype} {list(x.shape)}; "
            "build them with join_tokens, for a classifier with pad_tokens."
        )


def context_of(config: Any) -> float:
    """Most tokens that a model of this configuration takes; infinite where it does not say."""
    return getattr(config, "max_position_embeddings", None) or math.inf


def is_prompt(x: Tensor) -> Tensor:
    """Which tokens are of a prompt, or of a text that is classified; they come first. Bool `[n, length]`."""
    return x[:, 1] == PROMPT


def trimmed(x: Tensor) -> Tensor:
    """Without what is padding in every input of the batch; as it is where `torch.func` hides the values."""
    try:
        return x[:, :, : 1 + int((x[:, 1] != PADDING).any(0).nonzero().max())]
    except RuntimeError:
        return x


def pad_tokens(
    texts: Sequence[Sequence[int]], roles: Sequence[Sequence[int]] | None = None, *, length: int | None = None
) -> Tensor:
    """Inputs out of token ids.

    Args:
        texts: Token ids of each input.
        roles: What each token is for; by default all are read as of a prompt, as a classifier of texts reads them.
        length: Tokens to pad to; by default as many as the longest needs.

    Returns:
        Token ids and roles, int64 `[n, 2, length]`.

    Raises:
        DataError: There is no text, one is empty, or `length` is too short.
    """
    longest = max(map(len, texts), default=0)
    if not min(map(len, texts), default=0):
        raise DataError("a text has no tokens, or there is none; give at least one, with a token or more each.")
    if length is not None and length < longest:
        raise DataError(f"an input has {longest} tokens, more than length={length}.")
    x = torch.zeros(len(texts), 2, length or longest, dtype=torch.int64)
    for row, ids, parts in zip(x, texts, roles or [[PROMPT] * len(ids) for ids in texts], strict=True):
        row[0, : len(ids)] = torch.tensor(ids)
        row[1, : len(ids)] = torch.tensor(parts)
    return x


def misplaced(counted: Tensor) -> Tensor:
    """Which inputs have something before or within the tokens that count, bool `[n]` of bool `[n, length]`."""
    return (counted.int().diff(dim=1) > 0).any(dim=1)


def rejected_tokens(ids: Tensor) -> AbstractContextManager[None]:
    """Within, what a model raises about token ids `[n, length]` becomes a ModelError."""
    return rejections(
        f"token ids of shape {list(ids.shape)}", "Give it tokens of its own tokenizer, no more than it was made for."
    )
