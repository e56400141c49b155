"""Features of what fine-tuning added, with texts whose tokens are coloured by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anomech.diffing.activating import ActivatingText, ActiveFeature
from anomech.report.numbers import fixed
from anomech.report.tables import Token


@dataclass(frozen=True)
class ShownFeature:
    """A feature as the report shows it.

    Attributes:
        told: What is said of it.
        texts: Those that it is most active on.
    """

    told: str
    texts: list[list[Token]]


def shown_features(features: Sequence[ActiveFeature], pieces: Sequence[Sequence[str]]) -> list[ShownFeature]:
    """Features with their texts.

    Args:
        features: The features.
        pieces: What each token adds to each text.
    """
    return [
        ShownFeature(
            told=(
                f"Feature {one.feature}: {100 * one.energy:.2g}\u00a0% of what the dictionary says, active on "
                f"{100 * one.active:.3g}\u00a0% of the texts"
            ),
            texts=[_coloured(of, pieces[of.text]) for of in one.texts],
        )
        for one in features
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
