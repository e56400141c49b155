"""How tokens of a prompt are made to say nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.errors import DataError
from anomech.explain.attribution import Eraser, require_tokens
from anomech.tasks.tokens import PADDING, PROMPT


def every(ids: Sequence[int]) -> list[bool]:
    """All tokens of a prompt."""
    return [True] * len(ids)


@dataclass(frozen=True)
class TokenEraser(Eraser):
    """Takes tokens out of the prompts of inputs `[m, 2, length]` of a `CausalLMTask`; the others close up.

    What is left is a prompt as any other, so neither the model nor a detector sees a gap. Completions stay.

    Attributes:
        is_text: Which tokens of a prompt may go, such as `Tokenizer.is_text`: by default all.
        neutral: Token that takes their place; None for none.
    """

    is_text: Callable[[Sequence[int]], Sequence[bool]] = every
    neutral: int | None = None

    def places(self, x: Tensor) -> torch.Size:
        """`[length]`."""
        require_tokens(x)
        return x.shape[2:]

    def erasable(self, x: Tensor) -> Tensor:
        """Tokens of the text of prompts, bool `[m, length]`; not those of a chat template, nor a completion's."""
        found = torch.zeros(len(x), *self.places(x), dtype=torch.bool)
        for own, (ids, roles) in zip(found, x.cpu(), strict=True):
            prompt = roles == PROMPT
            own[prompt] = torch.tensor(self.is_text(ids[prompt].tolist()), dtype=torch.bool)
        return found

    def erase(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Copies of inputs without the tokens in `hidden`, bool `[m, length]`; of a whole prompt the first stays."""
        require_tokens(x)
        if self.neutral is not None:
            return torch.stack([x[:, 0].masked_fill(hidden, self.neutral), x[:, 1]], dim=1)
        hidden = hidden.clone()
        hidden[:, 0] &= (~hidden & (x[:, 1] == PROMPT)).any(dim=1)
        order = hidden.int().argsort(dim=1, stable=True)[:, None].expand_as(x)
        gone = hidden.gather(1, order[:, 0])[:, None].expand_as(x)
        return x.gather(2, order).masked_fill(gone, PADDING)


def require_text(eraser: Eraser, x: Tensor) -> None:
    """Raises DataError where an input `[m, 2, length]` has no token that may go."""
    empty = ~eraser.erasable(x).any(dim=1)
    if empty.any():
        raise DataError(
            f"{int(empty.sum())} of {len(x)} prompts, first at {int(empty.nonzero()[0])}, have no text: every token "
            "belongs to the chat template or is special, so nothing can be left out; explain other inputs."
        )
