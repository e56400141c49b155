"""Text classifiers: the behaviour is that of any classifier, the inputs are tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from anomech.errors import DataError, ModelError
from anomech.examples import Examples
from anomech.tasks.classification import ClassificationTask
from anomech.tasks.tokens import PADDING, PROMPT, check_tokens, rejected_tokens, trimmed


class SequenceClassificationTask(ClassificationTask):
    """A Hugging Face text classifier, an encoder or a decoder that reads the last token, and texts as tokens.

    Inputs are int64 `[n, 2, length]` as `pad_tokens` makes them: token ids, padded on the right, and their attention
    mask. What stands in the padding changes nothing.

    Args:
        model: Its configuration names the token that it takes for padding; a decoder tells by it where a text ends.
        batch_size: See `Task`.
        device: See `Task`.

    Raises:
        DataError: An input is not of that form.
        ModelError: The model knows no padding, rejects the tokens, or its output is not a finite `[n, classes]` tensor.
    """

    def __init__(self, model: nn.Module, *, batch_size: int = 256, device: torch.device | str | None = None) -> None:
        super().__init__(model, batch_size=batch_size, device=device)
        padding: Any = getattr(model.config, "pad_token_id", None)
        if padding is None:
            raise ModelError(
                "the model's configuration has no pad_token_id, so the model cannot tell where a text ends; set it to "
                "the token that the model was trained with, such as the tokenizer's."
            )
        self._padding = int(padding)

    def run(self, model: nn.Module, x: Tensor) -> Tensor:
        """Logits of one batch, which is run without the padding that all of it has."""
        return super().run(model, trimmed(x))

    def check_labels(self, examples: Examples) -> None:
        """Raises DataError unless every input is a text, then at most padding, and every label a class of the model."""
        check_tokens(examples.x)
        roles = examples.x[:, 1]
        usable = (roles[:, 0] == PROMPT) & ((roles == PROMPT) | (roles == PADDING)).all(1) & (roles.diff() <= 0).all(1)
        if not usable.all():
            first = examples.ids[int((~usable).nonzero()[0])]
            raise DataError(
                f"{int((~usable).sum())} of {len(examples)} inputs, first {first!r}, are not tokens (mask {PROMPT}) "
                f"followed by padding ({PADDING}); build them with pad_tokens."
            )
        super().check_labels(examples)

    def _logits(self, model: nn.Module, x: Tensor) -> Any:
        check_tokens(x)
        read = x[:, 1] != PADDING
        ids = x[:, 0].masked_fill(~read, self._padding)
        with rejected_tokens(ids), _a_row_an_input(model, len(ids)):
            logits = getattr(model(input_ids=ids, attention_mask=read.long()), "logits", None)
        return logits.float() if isinstance(logits, Tensor) else logits


@contextmanager
def _a_row_an_input(model: nn.Module, n: int) -> Iterator[None]:
    """Within, embeddings of what n inputs share, such as positions, have a row for each, whose gradient is its own."""

    def expand(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        shared = len(args) == 1 and args[0].ndim == 2 and len(args[0]) == 1
        return (args[0].expand(n, -1),) if shared else None

    hooks = [m.register_forward_pre_hook(expand) for m in model.modules() if isinstance(m, nn.Embedding)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
