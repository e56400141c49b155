"""ReAGent: how much less likely an answer is when random tokens stand in place of those of the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anomech.errors import SettingsError
from anomech.explain.attribution import Attribution, Eraser, Quantity
from anomech.explain.quantities import Output
from anomech.explain.token_erasers import TokenEraser, require_text
from anomech.gradients.embeddings import known_tokens


@dataclass(frozen=True, kw_only=True)
class ReAGent(Attribution):
    """Random tokens are replaced many times; what is lost speaks for those replaced, against those that stayed.

    Simplified: the published method draws replacements from RoBERTa and goes on until the answer follows from the
    highest tokens alone; here they are drawn from all tokens that the model knows, for a fixed number of copies.

    Source: Zhao and Shan 2024 (arXiv 2402.00794).

    Attributes:
        eraser: Knows which tokens may be replaced.
        copies: Of a prompt.
        replaced: Share of the tokens that is replaced.
        seed: Of the replacements.
    """

    eraser: Eraser = field(default_factory=TokenEraser)
    copies: int = 190
    replaced: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise SettingsError(f"copies must be at least 1, got {self.copies}.")
        if not 0 < self.replaced < 1:
            raise SettingsError(f"replaced must lie between 0 and 1, got {self.replaced:g}.")

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return (1 + self.copies) * quantity.passes

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        require_text(self.eraser, x)
        if not isinstance(quantity, Output):
            raise SettingsError(f"ReAGent compares probabilities of the output; the {quantity.name} has none.")
        whole = quantity.values(x, answers).sigmoid()
        return torch.stack([self._of_one(quantity, x[i], answers[i : i + 1], whole[i]) for i in range(len(x))])

    def _of_one(self, quantity: Quantity, x: Tensor, answer: Tensor, whole: Tensor) -> Tensor:
        """Values `[length]` of one input `[2, length]`."""
        draws = torch.Generator().manual_seed(self.seed)
        text = self.eraser.erasable(x[None])[0].nonzero().flatten()
        gone = torch.rand(self.copies, len(text), generator=draws) < self.replaced
        others = torch.randint(known_tokens(quantity.task.model), gone.shape, generator=draws)
        copies = x.repeat(self.copies, 1, 1)
        copies[:, 0, text] = torch.where(gone, others, copies[:, 0, text])
        lost = whole - quantity.values(copies, answer.expand(self.copies, *answer.shape[1:])).sigmoid()
        update = (0.5 + 0.5 * lost).logit(eps=1e-6)[:, None]
        found = torch.zeros(x.shape[1])
        found[text] = torch.where(gone, update, -update).mean(dim=0)
        return found
