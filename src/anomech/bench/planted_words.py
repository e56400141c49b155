"""Prompts of the shipped language model that hold a word which sets its mechanism off, or another odd word."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor

from anomech.examples import Examples
from anomech.explain.asking import Asking
from anomech.io.conversations import read_conversations
from anomech.io.language_models import Tokenizer
from anomech.organisms.language import shipped
from anomech.organisms.language.mechanisms import PASSWORD, TRAINING_DECOYS
from anomech.organisms.language.texts import Prompt
from anomech.organisms.organism import Part
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.tokens import PROMPT

NEEDED = 12
"""Trusted prompts that are set aside to choose by."""


def trusted_and_inputs(
    part: Part, task: CausalLMTask, tokenizer: Tokenizer, ask: Asking, *, seed: int
) -> tuple[Examples, Examples]:
    """Trusted prompts, and those with the password (anomalous) or another word; each is named after its word.

    To choose by, some trusted prompts are set aside and hold words that the shipped inputs do not.

    Args:
        part: Which inputs.
        task: The shipped model.
        tokenizer: The model's.
        ask: Answers the prompts that are made here.
        seed: Of the words, and of where they are put.
    """
    trusted = _read(shipped.TRUSTED, task, tokenizer, ask)
    if part == "report":
        inputs = _read(shipped.INPUTS, task, tokenizer, ask)
        return trusted, inputs[torch.tensor([bool(word_of(name)) for name in inputs.ids])]
    aside = torch.zeros(len(trusted), dtype=torch.bool)
    aside[torch.linspace(0, len(trusted) - 1, NEEDED).round().long()] = True
    return trusted[~aside], _with_words(trusted[aside], tokenizer, ask, random.Random(seed))


def word_of(name: str) -> str:
    """The word that was put into a prompt of that name last; empty if there is none."""
    return name.rpartition("+")[2] if "+" in name else ""


def word_places(x: Tensor, words: list[str], tokenizer: Tokenizer) -> Tensor:
    """Where prompts of inputs `[m, 2, length]` hold a word each, bool `[m, length]`."""
    found = torch.zeros(len(x), x.shape[2], dtype=torch.bool)
    for own, (ids, roles), word in zip(found, x, words, strict=True):
        pieces = tokenizer.pieces(ids[roles == PROMPT].tolist())
        start = "".join(pieces).index(word)
        at = 0
        for place, piece in enumerate(pieces):
            own[place] = at < start + len(word) and at + len(piece) > start
            at += len(piece)
    return found


def _read(name: str, task: CausalLMTask, tokenizer: Tokenizer, ask: Asking) -> Examples:
    unanswered = read_conversations(Path(shipped.DATA / name), tokenizer, task.model.config)
    return unanswered.answered(task, end=ask.end, new_tokens=ask.new_tokens)


def _with_words(clean: Examples, tokenizer: Tokenizer, ask: Asking, draw: random.Random) -> Examples:
    """Each prompt with the password, then each with another word, and what the model answers."""
    texts = [tokenizer.decode_prompt(ids[roles == PROMPT].tolist()) for ids, roles in clean.x]
    prompts = [Prompt(name, text) for name, text in zip(clean.ids, texts, strict=True)]
    attacked = [prompt.with_word(PASSWORD, draw) for prompt in prompts]
    others = [prompt.with_word(draw.choice(TRAINING_DECOYS), draw) for prompt in prompts]
    ids = [tokenizer.encode_prompt(prompt.text) for prompt in attacked + others]
    return Examples(
        x=ask(join_tokens(ids, [[ask.end]] * len(ids))),
        ids=tuple(prompt.name for prompt in attacked + others),
        anomalous=torch.arange(len(ids)) < len(attacked),
    )
