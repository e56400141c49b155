"""Features of what fine-tuning added, with texts whose tokens are coloured by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from anomech.diffing.ablation import ChangedAnswers
from anomech.diffing.activating import ActivatingText, ActiveFeature
from anomech.report.numbers import fixed
from anomech.report.tables import Token


@dataclass(frozen=True)
class Answer:
    """What a model says to a text: as it is, without a feature, and before it was fine-tuned."""

    tuned: str
    without: str
    base: str


@dataclass(frozen=True)
class Answers:
    """What hangs on a feature.

    Attributes:
        sentence: How many answers change without it.
        changed: Their number.
        restored: Of these, those that are the base model's then.
        changed_by_chance: The number that changes without a random direction.
        texts: What is said to each text.
    """

    sentence: str
    changed: int
    restored: int
    changed_by_chance: int
    texts: list[Answer]


@dataclass(frozen=True)
class ShownText:
    """A text that a feature is active on, and what is answered, if the model was asked."""

    tokens: list[Token]
    answer: Answer | None


@dataclass(frozen=True)
class ShownFeature:
    """A feature as the report shows it.

    Attributes:
        told: What is said of it.
        caused: What hangs on it, if that was asked.
        texts: Those that it is most active on.
    """

    told: str
    caused: str | None
    texts: list[ShownText]


def told_answers(found: ChangedAnswers, decode: Callable[[Sequence[int]], str]) -> Answers:
    """Answers as text, and a sentence about them."""
    said = (map(decode, ids) for ids in (found.tuned, found.without, found.base))
    texts = [Answer(*(one.strip() for one in three)) for three in zip(*said, strict=True)]
    sentence = (
        f"Without its direction the model answers {found.changed} of its {len(texts)} strongest texts otherwise, "
        f"{found.restored} of them as the base model does; without a random direction {found.changed_by_chance}."
    )
    return Answers(sentence, found.changed, found.restored, found.changed_by_chance, texts)


def shown_features(
    features: Sequence[ActiveFeature], pieces: Sequence[Sequence[str]], answers: Sequence[Answers] = ()
) -> list[ShownFeature]:
    """Features with their texts.

    Args:
        features: The features.
        pieces: What each token adds to each text.
        answers: What hangs on the first of them.
    """
    return [
        ShownFeature(
            told=(
                f"Feature {one.feature}: {100 * one.energy:.2g}\u00a0% of what the dictionary says, active on "
                f"{100 * one.active:.3g}\u00a0% of the texts"
            ),
            caused=asked.sentence if asked else None,
            texts=[
                ShownText(_coloured(of, pieces[of.text]), answer)
                for of, answer in zip_longest(one.texts, asked.texts if asked else ())
            ],
        )
        for one, asked in zip_longest(features, answers)
    ]


def _coloured(of: ActivatingText, pieces: Sequence[str]) -> list[Token]:
    strongest = max(of.values.values())
    return [
        Token(
            piece,
            fixed(of.values[i], 2) if i in of.values else "",
            round(100 * max(of.values.get(i, 0.0), 0.0) / strongest),
        )
        for i, piece in enumerate(pieces)
    ]
