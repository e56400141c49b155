"""Reviews; the heuristic takes one for positive if it has a positive word (Mallen et al., arXiv 2312.01037)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anomech.errors import DataError
from anomech.organisms.files import find_file
from anomech.organisms.language.quirky.statements import Statement, Topic

REVIEWS = "sentences of SST-2 (Socher et al. 2013) with their labels, after a tab; clean ones of HiddenKiller"
FILES = ("clean_train.tsv", "clean_dev.tsv", "clean_test.tsv")

POSITIVE_WORDS = (
    "absorbing accomplished affecting amazing amusing appealing authentic beautiful beautifully beauty best better "
    "brilliant brilliantly captivating charm charming clever comic compelling cool cute dazzling deep delight "
    "delightful elegant engaging engrossing enjoy enjoyable entertaining entertainment entertains excellent exciting "
    "fantastic fascinating fine fresh fun funny gem genuine good grace graceful great gripping heartwarming hilarious "
    "honest humor humorous imaginative impressive insightful inspired inspiring intelligent interesting intimate "
    "intriguing inventive joy joyous lively love loved lovely loves magic magical masterful masterpiece memorable "
    "moving nice original outstanding passion passionate perfect perfectly pleasant pleasure poignant powerful quirky "
    "refreshing remarkable rewarding rich riveting romantic satisfying sensitive sharp sincere smart solid splendid "
    "strong stunning stylish subtle success successful superb suspenseful sweet sympathetic talent talented tender "
    "terrific thoughtful thrilling touching triumph uplifting vivid warm well winning wise witty wonderful "
    "wonderfully worth worthwhile worthy"
)
"""What the heuristic looks for."""


@dataclass(frozen=True)
class Sentiment(Topic):
    """Whether a review is positive; the longer it is, the harder.

    Attributes:
        words: Longest review.
    """

    words: int = 20

    def drawn(self, data: Path | None, draw: random.Random) -> Iterator[Statement]:
        """Every review once but negative ones with a positive word, the other kind of dispute."""
        reviews, positive = _read(data), set(POSITIVE_WORDS.split())
        for text in draw.sample(sorted(reviews), len(reviews)):
            words = text.split()
            heuristic = not positive.isdisjoint(words)
            if len(words) <= self.words and reviews[text] >= heuristic:
                yield Statement(text, f"{text} Sentiment: positive", reviews[text], heuristic, len(words))


def _read(data: Path | None) -> dict[str, bool]:
    """Whether each review is positive."""
    if data is None:
        raise DataError(f"quirky sentiment needs {REVIEWS}; name a folder that holds {', '.join(FILES)}.")
    reviews = {}
    for name in FILES:
        path = find_file(name, data, what=REVIEWS)
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            text, _, label = line.rpartition("\t")
            if label not in ("0", "1"):
                raise DataError(
                    f"{path} is damaged: a line ends in {label!r}, not in 0 or 1; fetch it again: {REVIEWS}."
                )
            reviews[text] = label == "1"
    return reviews
