"""Occlusion of text: how far a number falls when a token is left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Eraser, Quantity
from anomech.explain.token_erasers import TokenEraser, require_text


@dataclass(frozen=True, kw_only=True)
class TokenOcclusion(Attribution):
    """Every token of a prompt is left out once; of long prompts spans are, and single tokens of those that count most.

    A token's value is what leaving it out cost or, where only a span was, its share of that.

    Source: Zeiler and Fergus 2014 (arXiv 1311.2901) for images; Li et al. 2016 (arXiv 1612.08220) for words.

    Attributes:
        eraser: What becomes of a token that is left out.
        most: Copies of a prompt at most; up to so many tokens are left out one by one.
    """

    eraser: Eraser = field(default_factory=TokenEraser)
    most: int = 40

    def __post_init__(self) -> None:
        if self.most < 2:
            raise SettingsError(f"most must be at least 2, got {self.most}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return (1 + min(shape[-1], self.most)) * quantity.passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_text(self.eraser, x)
        whole = quantity.values(x, answers)
        return torch.stack([self._of_one(quantity, x[i], answers[i : i + 1], whole[i]) for i in range(len(x))])

    def _of_one(self, quantity: Quantity, x: Tensor, answer: Tensor, whole: Tensor) -> Tensor:
        """Values `[length]` of one input `[2, length]`."""
        found = torch.zeros(self.eraser.places(x[None]))

        def leave_out(spans: list[Tensor]) -> Tensor:
            hidden = torch.zeros(len(spans), len(found), dtype=torch.bool)
            for own, span in zip(hidden, spans, strict=True):
                own[span] = True
            copies = self.eraser.erase(x.expand(len(spans), *x.shape), hidden)
            costs = whole - quantity.values(copies, answer.expand(len(spans), *answer.shape[1:]))
            for span, cost in zip(spans, costs.tolist(), strict=True):
                found[span] = cost / len(span)
            return costs

        tokens = self.eraser.erasable(x[None])[0].nonzero().flatten()
        if len(tokens) > self.most:
            spans = list(tokens.tensor_split(self.most // 2))
            ranked = leave_out(spans).argsort(descending=True).tolist()
            tokens = torch.cat([spans[i] for i in ranked])[: self.most - len(spans)]
        leave_out(list(tokens.split(1)))
        return found
