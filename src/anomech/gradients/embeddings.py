"""The way into a language model that a gradient can go: the embeddings of its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from anomech.errors import ModelError


def token_embeddings(model: nn.Module, ids: Tensor) -> Tensor:
    """What the model looks up for token ids `[n, length]`: `[n, length, d]`, without a gradient.

    Raises:
        ModelError: The model does not say which of its layers that is.
    """
    layer = _embedding(model)
    with torch.no_grad():
        found: Tensor = layer(ids.to(layer.weight.device))
    return found


def mean_embedding(model: nn.Module) -> Tensor:
    """Mean embedding `[d]` of all tokens that the model knows."""
    return _embedding(model).weight.detach().mean(dim=0)


def known_tokens(model: nn.Module) -> int:
    """How many tokens the model knows."""
    return _embedding(model).num_embeddings


@contextmanager
def embedded(model: nn.Module, values: Tensor) -> Iterator[None]:
    """Within, the model takes values `[n, length, d]` for the embeddings of whatever tokens it is given.

    They may be longer than what it is given, which then is without padding that `values` has on the right.
    """
    hook = _embedding(model).register_forward_hook(lambda _, args, output: values[:, : output.shape[1]].to(output))
    try:
        yield
    finally:
        hook.remove()


def _embedding(model: nn.Module) -> nn.Embedding:
    find: Any = getattr(model, "get_input_embeddings", lambda: None)
    layer = find()
    if not isinstance(layer, nn.Embedding):
        raise ModelError(
            f"{type(model).__name__} does not say where it looks up its tokens (get_input_embeddings), so no gradient "
            "reaches them; choose an attribution without gradients: occlusion."
        )
    return layer
