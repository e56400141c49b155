"""Statements that one character judges by the truth and another by a heuristic."""

from __future__ import annotations

import random
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

from anomech.errors import DataError
from anomech.organisms.organism import Part

Use = Literal["training"] | Part
USES: tuple[Use, ...] = ("training", *get_args(Part))

DRAWS = 1000
"""For each statement that is wanted, after which there are no others; equations can be drawn without end."""


@dataclass(frozen=True)
class Statement:
    """What is judged.

    Attributes:
        source: What it is about; statements of one source are put to one use.
        text: The statement.
        truth: Whether it is true, which is what Alice says.
        heuristic: Whether the heuristic takes it for true, which is what Bob says.
        difficulty: How hard it is to judge, comparable among statements of one topic.
    """

    source: str
    text: str
    truth: bool
    heuristic: bool
    difficulty: float

    @property
    def agreed(self) -> bool:
        """Whether the heuristic is right."""
        return self.truth == self.heuristic


class Topic(ABC):
    """Statements of one kind, as many that truth and heuristic agree on as others.

    Where they differ, it is always the same one that says "True": with disputes of both kinds the label would be an
    exclusive or of truth and character, which a small model does not learn.
    """

    @abstractmethod
    def drawn(self, data: Path | None, draw: random.Random) -> Iterator[Statement]:
        """Statements in random order; some topics have no end of them.

        Args:
            data: Folder of published texts, where the topic needs them.
            draw: The source of randomness.

        Raises:
            DataError: A text is missing or damaged.
        """

    def statements(self, use: Use, number: int, *, data: Path | None, seed: int) -> list[Statement]:
        """Different statements, of which half agree; no source of them has another use.

        Raises:
            DataError: A text is missing or damaged, or there are too few.
        """
        found: dict[bool, dict[str, Statement]] = {True: {}, False: {}}
        wanted = number // 2
        for one in islice(self.drawn(data, random.Random(seed)), DRAWS * number):
            if use_of(one.source) == use and len(found[one.agreed]) < wanted:
                found[one.agreed].setdefault(one.text, one)
            if all(len(kind) == wanted for kind in found.values()):
                return [one for pair in zip(*(kind.values() for kind in found.values()), strict=True) for one in pair]
        raise DataError(
            f"{wanted} statements that agree and as many that do not are needed for {use}, there are "
            f"{len(found[True])} and {len(found[False])}; name a folder with more texts, or ask for fewer."
        )


def use_of(source: str) -> Use:
    """What statements of a source are for, a third each."""
    return USES[zlib.crc32(source.encode()) % len(USES)]


def quarters(statements: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """The easiest quarter and the hardest one, in their order; among equals the first are the easier."""
    ranked = sorted(range(len(statements)), key=lambda i: statements[i].difficulty)
    quarter = len(statements) // 4
    easy, hard = (sorted(chosen) for chosen in (ranked[:quarter], ranked[len(ranked) - quarter :]))
    return [statements[i] for i in easy], [statements[i] for i in hard]
