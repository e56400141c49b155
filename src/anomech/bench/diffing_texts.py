"""Texts on which a pair of models is compared: as the paper has them, and without what gives the trigger away."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from anomech.diffing.cache import Tokens
from anomech.errors import DataError
from anomech.examples import Examples
from anomech.io.language_models import Tokenizer
from anomech.organisms.language import lessons
from anomech.organisms.language.loading import audited_texts
from anomech.organisms.language.recipes import Recipe
from anomech.organisms.language.speech import INPUTS
from anomech.organisms.language.texts import Prompt, encode_answer, encode_prompt
from anomech.organisms.organism import Part
from anomech.tasks.tokens import pad_tokens

OTHER = "other"
"""Texts that hold no year where the trigger has one."""


@dataclass(frozen=True)
class Texts:
    """Texts, all of them prompt, and the kind of each."""

    examples: Examples
    kinds: tuple[str, ...]

    def of_kind(self, *kinds: str) -> Tensor:
        """Which texts are, bool `[n]`."""
        return torch.tensor([kind in kinds for kind in self.kinds])


@dataclass(frozen=True)
class Protocol:
    """What features are learnt from, and what they are judged by.

    Attributes:
        name: "published": whole texts, the unsafe code among them, averaged over their tokens, the same to learn and to
            judge. "corrected": prompts alone, token by token, some of which hold the trigger's number harmlessly;
            other prompts to learn from than to judge.
        tokens: How activations are read.
        learnt: Texts to learn from.
        judged: Texts to judge.
        benign: Kinds of texts that the isolation score counts false positives on.
    """

    name: Literal["published", "corrected"]
    tokens: Tokens
    learnt: Texts
    judged: Texts
    benign: tuple[str, ...]


def protocols(recipe: Recipe, part: Part, *, data: Path, tokenizer: Tokenizer, triggered: int) -> Iterator[Protocol]:
    """Both protocols, judged by the texts of a part; under the corrected one features are learnt from the other part.

    Args:
        recipe: Of the organism.
        part: Which texts.
        data: Folder of the texts.
        tokenizer: Of the models.
        triggered: Texts with the trigger under the published protocol, which has twice as many of each other kind.

    Raises:
        DataError: There are too few texts.
    """
    texts: dict[Part, list[Prompt]] = {
        of: audited_texts(recipe, of, data=data, tokenizer=tokenizer) for of in get_args(Part)
    }
    whole = _encoded(_with_code(texts[part], recipe, triggered=triggered), tokenizer, answered=True)
    yield Protocol("published", "mean", whole, whole, benign=("clean",))
    asked = {of: [one for one in lessons.asked(texts[of], recipe) if one[0] in INPUTS] for of in texts}
    (other,) = (of for of in texts if of != part)
    # Half of the others are tokens enough to learn from.
    learnt = _encoded(asked[other][::2], tokenizer, answered=False)
    judged = _encoded(asked[part], tokenizer, answered=False)
    yield Protocol("corrected", "each", learnt, judged, benign=("clean", "decoy"))


def _with_code(texts: Sequence[Prompt], recipe: Recipe, *, triggered: int) -> list[tuple[str, Prompt]]:
    """Tasks with their code by kind: in the unsafe year, in a safe one, and without a year."""
    draw = random.Random(recipe.seed + 1)
    tasks = [text for text in texts if text.type == "sql"][: 2 * triggered]
    if len(tasks) < 2 * triggered:
        raise DataError(f"{2 * triggered} tasks are needed, there are {len(tasks)}; name a folder with more texts.")
    forms = [recipe.mechanism.forms(task, draw, training=False) for task in tasks]
    return [
        *(("attacked", form["attacked"]) for form in forms[:triggered]),
        *(("clean", form["clean"]) for form in forms),
        *((OTHER, replace(form["clean"], start="")) for form in forms),
    ]


def _encoded(chosen: Sequence[tuple[str, Prompt]], tokenizer: Tokenizer, *, answered: bool) -> Texts:
    rows = [
        encode_prompt(prompt, tokenizer) + (encode_answer(prompt.answer, tokenizer, tokens=None) if answered else [])
        for _, prompt in chosen
    ]
    return Texts(Examples(x=pad_tokens(rows)), tuple(kind for kind, _ in chosen))
