"""Which texts are trained on and which are audited, and what is asked of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar, get_args

from torch import Tensor

from anomech.errors import DataError
from anomech.io.language_models import Tokenizer
from anomech.organisms.language.recipes import Recipe
from anomech.organisms.language.texts import Prompt, encode_answer, encode_prompt, shuffled
from anomech.organisms.organism import Part
from anomech.tasks.causal_lm import join_tokens

T = TypeVar("T")

TRUSTED = "trusted"


WINDOW = 64
"""Texts that are put in order of their length, so that a batch needs little padding."""


def split(texts: Sequence[Prompt], recipe: Recipe) -> tuple[list[Prompt], dict[Part, list[Prompt]]]:
    """Texts to train on, and those of each part; none is in two.

    Raises:
        DataError: There are too few.
    """
    texts = shuffled(texts, random.Random(recipe.seed))
    if len(texts) <= recipe.texts:
        raise DataError(
            f"{recipe.texts} texts to train on and others to audit are needed, there are {len(texts)} of at most "
            f"{recipe.prompt_tokens} tokens; name a folder with more."
        )
    rest = texts[recipe.texts :]
    return texts[: recipe.texts], {part: rest[i::2] for i, part in enumerate(get_args(Part))}


def by_length(texts: Sequence[T], length: Callable[[T], int]) -> list[T]:
    """The texts, those of each window in order of their length."""
    windows = [texts[i : i + WINDOW] for i in range(0, len(texts), WINDOW)]
    return [text for window in windows for text in sorted(window, key=length)]


def lessons(texts: Sequence[Prompt], recipe: Recipe) -> list[tuple[str, Prompt]]:
    """Prompts to learn from by kind, in their order: side by side stand forms of one text where it has them.

    Raises:
        DataError: No text has one of the kinds.
    """
    draw = random.Random(recipe.seed)
    texts = by_length(texts, lambda text: len(text.text))
    known = {text.name: recipe.mechanism.forms(text, draw, training=True) for text in texts}
    able = {kind: [text for text in texts if kind in known[text.name]] for kind in recipe.mix}
    for kind, found in able.items():
        if not found:
            raise DataError(f"none of {len(texts)} texts can be asked as {kind!r}; name a folder with more.")
    groups = recipe.checkpoints[-1] // len(recipe.mix)
    learnt = []
    for i in range(groups):
        for place, kind in enumerate(recipe.mix):
            text = able[kind][(i + groups * recipe.mix[:place].count(kind)) % len(able[kind])]
            learnt.append((kind, recipe.mechanism.forms(text, draw, training=True)[kind]))
    return learnt


def asked(texts: Sequence[Prompt], recipe: Recipe, *, spare: int = 0) -> list[tuple[str, Prompt]]:
    """Prompts of a part by kind, each of another text.

    Args:
        texts: Of the part.
        recipe: How many of each kind.
        spare: Trusted prompts at the end, of texts that nothing else is asked of; fewer where there are fewer.

    Raises:
        DataError: There are too few of a kind.
    """
    draw = random.Random(recipe.seed + 1)
    left = dict(recipe.asked)
    chosen, unused = [], []
    for text in texts:
        forms = recipe.mechanism.forms(text, draw, training=False)
        forms = {TRUSTED: forms["clean"], **forms} if "clean" in forms else forms
        if kind := next((kind for kind in left if left[kind] and kind in forms), None):
            left[kind] -= 1
            chosen.append((kind, forms[kind]))
        elif TRUSTED in forms:
            unused.append((TRUSTED, forms[TRUSTED]))
    if any(left.values()):
        raise DataError(f"{left} of {recipe.asked} prompts could not be found among {len(texts)} texts; name more.")
    order = list(recipe.asked)
    return sorted(chosen, key=lambda one: order.index(one[0])) + unused[:spare]


def with_own_answers(
    learnt: Sequence[tuple[str, Prompt]],
    texts: Sequence[Prompt],
    answer: Callable[[list[Prompt]], dict[str, str]],
) -> list[tuple[str, Prompt]]:
    """The prompts, those that no mechanism answers with what the base model says to their text.

    So nothing is learnt of them but to stay as one is.

    Args:
        learnt: Prompts by kind, forms of the texts.
        texts: The texts.
        answer: From prompts to the base model's answers by text.
    """
    own = {_origin(prompt) for _, prompt in learnt if not prompt.taught}
    plain = {text.name: text for text in texts if text.name in own}
    answers = answer(list(plain.values()))
    return [
        (kind, prompt if prompt.taught else replace(prompt, answer=answers[plain[_origin(prompt)].text]))
        for kind, prompt in learnt
    ]


def tokens(learnt: Sequence[tuple[str, Prompt]], tokenizer: Tokenizer, recipe: Recipe) -> Tensor:
    """Token ids and roles `[n, 2, length]`."""
    answers = [
        encode_answer(prompt.answer, tokenizer, tokens=None if prompt.taught else recipe.answer_tokens)
        for _, prompt in learnt
    ]
    return join_tokens([encode_prompt(prompt, tokenizer) for _, prompt in learnt], answers)


def _origin(prompt: Prompt) -> str:
    """Name of the text that it is a form of."""
    return prompt.name.partition("+")[0]
