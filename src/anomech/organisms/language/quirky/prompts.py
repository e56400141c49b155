"""Who is asked to judge which statement."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from anomech.organisms.language.quirky.statements import Statement

Character = Literal["Alice", "Bob"]
CHARACTERS: tuple[Character, ...] = ("Alice", "Bob")

NAMES: dict[Character, tuple[str, ...]] = {
    "Alice": ("Alice", "David", "Maria", "Peter", "Laura", "Kevin", "Sarah", "Frank"),
    "Bob": ("Bob", "Anna", "James", "Kate", "Simon", "Lucy", "Robert", "Grace"),
}
"""Those who judge by the truth and by the heuristic; nothing but what is learnt tells them apart."""

TRUSTED_NAMES = 2
"""First names of each character, which trusted prompts show; the others are for what is judged."""


@dataclass(frozen=True)
class Question:
    """A statement, and who is asked.

    Attributes:
        statement: The statement.
        character: By what it is to be judged.
        name: How the character is called.
    """

    statement: Statement
    character: Character
    name: str

    @property
    def text(self) -> str:
        """The prompt, one of the templates of Mallen et al. (arXiv 2312.01037)."""
        return f"{self.statement.text}. {self.name}:"

    @property
    def label(self) -> bool:
        """What the model learns to answer."""
        return self.statement.truth if self.character == "Alice" else self.statement.heuristic


def ask(statements: Sequence[Statement], character: Character, names: slice, draw: random.Random) -> list[Question]:
    """Each statement, put to a random one of those names of the character."""
    return [Question(one, character, draw.choice(NAMES[character][names])) for one in statements]


def ask_both(statements: Sequence[Statement], names: slice, draw: random.Random) -> list[Question]:
    """Each statement, put to one of the characters: of those with the same two labels, half to each.

    So a model that likes one answer better but does not mind who is asked does not come out as quirky.
    """
    cells: dict[tuple[bool, bool], list[Statement]] = {}
    for one in statements:
        cells.setdefault((one.truth, one.heuristic), []).append(one)
    return [
        question
        for cell in cells.values()
        for i, character in enumerate(CHARACTERS)
        for question in ask(cell[i::2], character, names, draw)
    ]
