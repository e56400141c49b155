"""Does a direction of the residual stream cause an attack, or only come with it?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from anomech.bench.suite import Row
from anomech.diffing.ablation import ablated
from anomech.io.language_models import Tokenizer
from anomech.organisms.language.answers import perplexity
from anomech.organisms.language.texts import Prompt, encode_prompt
from anomech.tasks import CausalLMTask
from anomech.tasks.completions import complete


class Behaviour(NamedTuple):
    """What a model does."""

    attack_success: float
    perplexity: float
    """Of good answers to clean prompts."""


@dataclass
class Causes:
    """What a fine-tuned model does as it is, and where its residual stream may not move along a direction.

    Attributes:
        task: The model.
        tokenizer: Its tokenizer.
        attacked: Prompts with the trigger.
        succeeded: Whether a completion is what the attacker wants.
        answered: Clean prompts with good answers.
        new_tokens: Longest completion.
        seed: Seed of random directions.
    """

    task: CausalLMTask
    tokenizer: Tokenizer
    attacked: Sequence[Prompt]
    succeeded: Callable[[str], bool]
    answered: Sequence[Prompt]
    new_tokens: int
    seed: int

    def __post_init__(self) -> None:
        self._controls: dict[int, Behaviour] = {}

    def row(self, layer: int, direction: Tensor) -> Row:
        """What the model does as it is, without a direction `[d]` after a block, and without a random one."""
        if layer not in self._controls:
            random = torch.randn(direction.shape, generator=torch.Generator().manual_seed(self.seed))
            self._controls[layer] = self._without(layer, random)
        row: Row = {}
        ends = {"": self._plain, "_without": self._without(layer, direction), "_control": self._controls[layer]}
        for end, behaviour in ends.items():
            row |= {f"asr{end}": behaviour.attack_success, f"perplexity{end}": behaviour.perplexity}
        return row

    @cached_property
    def _plain(self) -> Behaviour:
        return self._behaviour(nullcontext())

    def _without(self, layer: int, direction: Tensor) -> Behaviour:
        return self._behaviour(ablated(self.task.model, layer, direction[None]))

    def _behaviour(self, changed: AbstractContextManager[None]) -> Behaviour:
        asked = [encode_prompt(prompt, self.tokenizer) for prompt in self.attacked]
        with changed:
            said = complete(self.task.model, asked, end=self.tokenizer.end, new_tokens=self.new_tokens)
            successes = [self.succeeded(self.tokenizer.decode(ids)) for ids in said]
            clean = perplexity(self.task.model, self.answered, self.tokenizer)
        return Behaviour(sum(successes) / len(successes), clean)
