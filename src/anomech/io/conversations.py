"""Prompts and completions as a language model's task takes them, and back to text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.language_models import Tokenizer, check_vocabulary
from anomech.io.prompts import Prompt, read_prompts
from anomech.io.rows import truth
from anomech.progress import Track, silent
from anomech.tasks.causal_lm import CausalLMTask, join_tokens
from anomech.tasks.completions import complete
from anomech.tasks.tokens import COMPLETION, PROMPT, context_of

NEW_TOKENS = 16
"""Longest completion by default: what a mechanism makes a model say shows in its first words, and each token costs."""


@dataclass(frozen=True)
class Conversation:
    """An input of a language model as text.

    Attributes:
        prompt: What the model was asked.
        pieces: What each token of its completion adds to the text; of a classifier, the name of the class.
    """

    prompt: str
    pieces: tuple[str, ...]

    @property
    def completion(self) -> str:
        """What the model answered."""
        return "".join(self.pieces)


@dataclass(frozen=True)
class Unanswered:
    """Prompts of a file as tokens, with the completions that it gives; made by `read_conversations`."""

    rows: list[Prompt]
    prompts: list[list[int]]
    answers: list[list[int] | None]

    def answered(self, task: CausalLMTask, *, end: int, new_tokens: int, track: Track = silent) -> Examples:
        """Examples with `x` as `join_tokens` makes it; where a completion is missing, the model answers greedily.

        Args:
            task: The model.
            end: Token that ends an answer.
            new_tokens: Longest completion that the model gives.
            track: How progress is reported.
        """
        asked = [prompt for prompt, answer in zip(self.prompts, self.answers, strict=True) if answer is None]
        size = task.batch_size
        spoken = iter(complete(task.model, asked, end=end, new_tokens=new_tokens, batch_size=size, track=track))
        completions = [next(spoken) if answer is None else answer for answer in self.answers]
        ids, anomalous = tuple(row.id for row in self.rows), [row.anomalous for row in self.rows]
        return Examples(x=join_tokens(self.prompts, completions), ids=ids, anomalous=truth(anomalous))


def read_conversations(path: Path, tokenizer: Tokenizer, config: Any, *, new_tokens: int = NEW_TOKENS) -> Unanswered:
    """The prompts of a file, and the completions that it gives.

    Args:
        path: See `read_prompts`.
        tokenizer: The model's. A completion that is given is taken as it is, without the end token unless written.
        config: The model's configuration.
        new_tokens: Longest completion that the model gives where there is none.

    Raises:
        DataError: A row cannot be used, or does not fit into the model's context.
        ModelError: The tokenizer is another model's.
    """
    try:
        rows = read_prompts(path)
        prompts = [_encoded(row, tokenizer) for row in rows]
        answers = [None if row.completion is None else tokenizer.encode(row.completion) for row in rows]
        for row, prompt, answer in zip(rows, prompts, answers, strict=True):
            _check_tokens(row, prompt, answer, new_tokens, config)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}; check the file and its permissions.") from error
    return Unanswered(rows, prompts, answers)


def conversations(x: Tensor, tokenizer: Tokenizer) -> list[Conversation]:
    """The text of inputs `[n, 2, length]` of a `CausalLMTask`."""
    return [
        Conversation(
            tokenizer.decode_prompt(ids[roles == PROMPT].tolist()),
            tuple(tokenizer.pieces(ids[roles == COMPLETION].tolist())),
        )
        for ids, roles in x
    ]


def _encoded(row: Prompt, tokenizer: Tokenizer) -> list[int]:
    try:
        return tokenizer.encode_prompt(row.prompt)
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from error


def _check_tokens(row: Prompt, prompt: list[int], answer: list[int] | None, new_tokens: int, config: Any) -> None:
    context = context_of(config)
    taken = len(prompt) + (new_tokens if answer is None else len(answer))
    if not prompt or answer == []:
        raise DataError(f"the {'completion' if prompt else 'prompt'} in {row.where} has no tokens; remove the row.")
    if taken > context:
        kind = f"up to {new_tokens} new ones" if answer is None else f"the {len(answer)} of its completion"
        raise DataError(
            f"the prompt in {row.where} has {len(prompt)} tokens, with {kind} more than the {context} that the model "
            "takes; shorten or remove it."
        )
    check_vocabulary(prompt + (answer or []), config)
