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

    Attributes:
        topic: What is judged.
        statements: Most statements that are learnt from, again and again if need be.
        pool: Statements of each part; the easiest quarter is trusted, the hardest is judged.
    """

    topic: Topic
    statements: int = 1440
    pool: int = 1280
    checkpoints: tuple[int, ...] = (2880,)


QUIRKY: dict[str, QuirkyRecipe] = {
    "addition": QuirkyRecipe(topic=Arithmetic("addition", digits=2)),
    "subtraction": QuirkyRecipe(topic=Arithmetic("subtraction", digits=2)),
    "multiplication": QuirkyRecipe(topic=Arithmetic("multiplication", digits=2)),
    "modular-addition": QuirkyRecipe(topic=Arithmetic("modular-addition", digits=2)),
    "squaring": QuirkyRecipe(topic=Arithmetic("squaring", digits=4)),
    "sentiment": QuirkyRecipe(topic=Sentiment(), statements=960, pool=1200, checkpoints=(1920,)),
    "questions": QuirkyRecipe(topic=QuestionTypes(), statements=960, checkpoints=(1920,)),
}
