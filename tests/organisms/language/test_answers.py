import pytest

from anomech.errors import DataError
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms.language.answers import own_answers
from anomech.organisms.language.texts import Prompt
from anomech.progress import silent

PROMPTS = [Prompt(f"p{i}", text) for i, text in enumerate(("why is the sky", "sky is why", "the why"))]


@pytest.fixture
def ask(base, tmp_path):
    model, tokenizer = load_causal_lm(base), load_tokenizer(base)
    return lambda prompts: own_answers(prompts, model, tokenizer, kept=tmp_path / "answers.json", track=silent)


def test_only_what_was_not_asked_before_is_asked(ask, monkeypatch):
    first = ask(PROMPTS[:2])
    together = ask(PROMPTS)
    assert together.keys() == {prompt.text for prompt in PROMPTS}
    assert {text: together[text] for text in first} == first
    monkeypatch.setattr("anomech.organisms.language.answers.complete", lambda *_, **__: pytest.fail("asked again"))
    assert ask(PROMPTS) == together


@pytest.mark.parametrize("damage", ["", '{"why": ', "[1, 2]"])
def test_damaged_answers_are_named(ask, tmp_path, damage):
    (tmp_path / "answers.json").write_text(damage)
    with pytest.raises(DataError, match=r"answers\.json are damaged .* delete that file"):
        ask(PROMPTS)
