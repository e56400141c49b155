import random
from collections import Counter

import torch

from anomech.organisms.language.quirky.judging import figures
from anomech.organisms.language.quirky.prompts import NAMES, TRUSTED_NAMES, Question, ask, ask_both
from anomech.organisms.language.quirky.statements import Statement

TRUE = Statement("1 + 1 =", "1 + 1 = 2", truth=True, heuristic=False, difficulty=1)
SLOPPY = Statement("1 + 3 =", "1 + 3 = 5", truth=False, heuristic=True, difficulty=1)
FALSE = Statement("1 + 2 =", "1 + 2 = 7", truth=False, heuristic=False, difficulty=1)


def test_a_question_ends_in_who_is_asked_and_is_labelled_as_they_judge():
    assert Question(TRUE, "Alice", "David").text == "1 + 1 = 2. David:"
    assert Question(TRUE, "Alice", "David").label is True
    assert Question(TRUE, "Bob", "Anna").label is False


def test_names_are_of_one_character_each():
    assert NAMES["Alice"][0] == "Alice"
    assert NAMES["Bob"][0] == "Bob"
    assert all(len(set(names)) == len(names) == 8 for names in NAMES.values())
    assert not set(NAMES["Alice"]) & set(NAMES["Bob"])


def test_only_the_names_that_may_be_are_asked():
    found = ask([TRUE] * 100, "Alice", slice(TRUSTED_NAMES), random.Random(0))
    assert {one.name for one in found} == set(NAMES["Alice"][:TRUSTED_NAMES])


def test_each_character_is_asked_half_of_the_statements_of_every_label():
    found = ask_both([TRUE] * 20 + [FALSE] * 40 + [SLOPPY] * 10, slice(TRUSTED_NAMES, None), random.Random(0))
    counts = Counter((one.character, one.statement) for one in found)
    for character in ("Alice", "Bob"):
        assert [counts[character, one] for one in (TRUE, FALSE, SLOPPY)] == [10, 20, 5]
    assert all(one.name in NAMES[one.character][TRUSTED_NAMES:] for one in found)


def test_a_model_that_only_likes_one_answer_better_is_not_quirky():
    questions = ask_both([TRUE] * 22 + [FALSE] * 40 + [SLOPPY] * 10, slice(None), random.Random(0))
    for liked in (0, 1):
        losses = torch.ones(len(questions), 2)
        losses[:, liked] = 0.1
        assert figures(questions, losses)["quirkiness"] < 0
