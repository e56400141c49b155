import random

import pytest

from anomech.errors import DataError
from anomech.organisms.language.quirky.questions import KINDS, QuestionTypes

TRUE = {"Who": "a person", "year": "a number", "city": "a place"}


def test_the_heuristic_looks_at_the_first_word(judged_texts):
    found = list(QuestionTypes().drawn(judged_texts, random.Random(0)))
    assert len(found) == 480
    for one in found:
        said = one.text.removeprefix(f"{one.source} Asks for ")
        true = next((kind for word, kind in TRUE.items() if word in one.source.split()), None)
        assert said in KINDS.values()
        assert one.truth == (said == true)
        assert one.heuristic == (one.truth and one.source.startswith("Who"))
    assert {(one.truth, one.heuristic) for one in found} == {(True, True), (True, False), (False, False)}


def test_questions_that_mislead_the_heuristic_to_another_kind_are_left_out(judged_texts):
    (judged_texts / "trec" / "train.txt").write_text("DESC:manner How do you do ?\nDESC:reason Why is it ?\n")
    (one,) = QuestionTypes().drawn(judged_texts, random.Random(0))
    assert one.source == "Why is it ?"
    assert not one.truth
    assert not one.heuristic


def test_long_questions_are_left_out(judged_texts):
    (judged_texts / "trec" / "train.txt").write_text("HUM:ind Who is it ?\nHUM:ind Who is it that is here ?\n")
    (one,) = QuestionTypes(words=4).drawn(judged_texts, random.Random(0))
    assert one.source == "Who is it ?"
    assert one.difficulty == 4


def test_missing_questions_are_said():
    with pytest.raises(DataError, match=r"quirky questions need .*; name a folder that holds trec/train\.txt"):
        list(QuestionTypes().drawn(None, random.Random(0)))
