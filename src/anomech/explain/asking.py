"""What a language model answers to altered prompts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from anomech.explain.attribution import require_tokens
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.completions import complete
from anomech.tasks.tokens import PROMPT


@dataclass(frozen=True)
class Asking:
    """Puts what a language model answers to prompts, greedily, in the place of their completions.

    Attributes:
        task: The model.
        end: Token that ends an answer.
        new_tokens: Longest answer.
    """

    task: CausalLMTask
    end: int
    new_tokens: int

    passes = 1
    """Forward passes that an answer takes: what is computed of a token is kept for those that follow it."""

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs `[m, 2, length]` with their prompts and other completions, `[m, 2, any length]`."""
        require_tokens(x)
        prompts = [ids[roles == PROMPT].tolist() for ids, roles in x]
        size = self.task.batch_size
        answers = complete(self.task.model, prompts, end=self.end, new_tokens=self.new_tokens, batch_size=size)
        self.task.cost.forward_passes += self.passes * len(x)
        return join_tokens(prompts, answers)
