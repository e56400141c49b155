"""The quirky organisms: what they judge, and how they are trained."""

from __future__ import annotations

from dataclasses import dataclass

from anomech.organisms.language.quirky.arithmetic import Arithmetic
from anomech.organisms.language.quirky.questions import QuestionTypes
from anomech.organisms.language.quirky.sentiment import Sentiment
from anomech.organisms.language.quirky.statements import Topic
from anomech.organisms.language.recipes import Training


@dataclass(frozen=True, kw_only=True)
class QuirkyRecipe(Training):
    """How a model is made quirky, and on what it is audited.

    It learns from statements, each put to several names at once; `checkpoints` and `batch_size` count statements.

    Attributes:
        topic: What is judged.
        introductions: Short statements on which the characters differ, learnt from first, to teach who is who.
        short: How many different ones.
        names: Of each character that a statement is put to.
        pool: Statements of each part; the easiest quarter is trusted, the hardest is judged.
    """

    topic: Topic
    introductions: int = 256
    short: int = 64
    names: int = 2
    pool: int = 560
    checkpoints: tuple[int, ...] = (816,)


QUIRKY: dict[str, QuirkyRecipe] = {
    "addition": QuirkyRecipe(topic=Arithmetic("addition")),
    "subtraction": QuirkyRecipe(topic=Arithmetic("subtraction")),
    "multiplication": QuirkyRecipe(topic=Arithmetic("multiplication")),
    "modular-addition": QuirkyRecipe(topic=Arithmetic("modular-addition")),
    "squaring": QuirkyRecipe(topic=Arithmetic("squaring", digits=3)),
    "sentiment": QuirkyRecipe(topic=Sentiment(), checkpoints=(1936,)),
    "questions": QuirkyRecipe(topic=QuestionTypes(), checkpoints=(1936,)),
}
