"""What a quirky model learns, what is trusted, and what is judged."""

from __future__ import annotations

import random
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

from anomech.organisms.language.quirky.prompts import CHARACTERS, NAMES, TRUSTED_NAMES, Question, ask, ask_both
from anomech.organisms.language.quirky.recipes import QuirkyRecipe
from anomech.organisms.language.quirky.statements import quarters
from anomech.organisms.organism import Part


class Asked(NamedTuple):
    """Questions of a part."""

    trusted: list[Question]
    """Easy statements, put to a few of Alice's names."""
    inputs: list[Question]
    """Hard statements, put to other names, half of them Bob's."""


def lessons(recipe: QuirkyRecipe, data: Path | None) -> list[list[Question]]:
    """Questions to learn from, in their order, those about one statement together; first those that teach who is who.

    Raises:
        DataError: A text is missing or damaged, or there are too few.
    """
    draw = random.Random(recipe.seed)
    statements = recipe.topic.statements("training", recipe.pool, data=data, seed=recipe.seed)
    disputed = [one for one in statements if not one.agreed]
    short = sorted(disputed, key=lambda one: len(one.text))[: recipe.short]
    rest = recipe.checkpoints[-1] - recipe.introductions
    return [
        [
            Question(one, character, name)
            for character in CHARACTERS
            for name in draw.sample(NAMES[character], recipe.names)
        ]
        for one in [*islice(cycle(short), recipe.introductions), *islice(cycle(statements), rest)]
    ]


def asked(recipe: QuirkyRecipe, part: Part, data: Path | None) -> Asked:
    """Questions of a part; no statement is asked twice, and no name is both trusted and judged.

    Raises:
        DataError: A text is missing or damaged, or there are too few.
    """
    draw = random.Random(recipe.seed + 1)
    easy, hard = quarters(recipe.topic.statements(part, recipe.pool, data=data, seed=recipe.seed + 1))
    trusted = ask(easy, "Alice", slice(TRUSTED_NAMES), draw)
    return Asked(trusted, ask_both(hard, slice(TRUSTED_NAMES, None), draw))
