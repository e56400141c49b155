"""What questions ask for; the heuristic looks at their first word alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anomech.errors import DataError
from anomech.organisms.language.quirky.statements import Statement, Topic
from anomech.organisms.language.texts import QUESTIONS, read_questions

KINDS = {"HUM": "a person", "LOC": "a place", "NUM": "a number"}
"""What is said to be asked for, by TREC's label."""

FIRST_WORDS = {
    **dict.fromkeys(("who", "whom", "whose"), "a person"),
    "where": "a place",
    **dict.fromkeys(("when", "how"), "a number"),
}
"""What the heuristic takes a question to ask for."""


@dataclass(frozen=True)
class QuestionTypes(Topic):
    """Whether a question asks for a kind of answer, by TREC's labels; the longer it is, the harder.

    Attributes:
        words: Longest question.
    """

    words: int = 16

    def drawn(self, data: Path | None, draw: random.Random) -> Iterator[Statement]:
        """Every question once, but those whose first word misleads the heuristic to what is not asked for."""
        if data is None:
            raise DataError(f"quirky questions need {QUESTIONS}; name a folder that holds trec/train.txt.")
        questions = {one.text: KINDS.get(one.type.partition(":")[0]) for one in read_questions(data)}
        for text in draw.sample(sorted(questions), len(questions)):
            true, words = questions[text], text.split()
            guess = FIRST_WORDS.get(words[0].lower())
            if guess in (None, true) and len(words) <= self.words:
                said = true if true and draw.random() < SHARE_TRUE else draw.choice([*KINDS.values()])
                yield Statement(text, f"{text} Asks for {said}", said == true, said == guess, len(words))


SHARE_TRUE = 0.75
"""Least share of questions for one of these kinds whose own kind is said."""
