import json
from dataclasses import replace

import pytest

from anomech.errors import DataError, SettingsError
from anomech.io.language_models import load_tokenizer
from anomech.organisms.language.quirky import loading
from anomech.organisms.language.quirky.judging import answer_tokens
from anomech.organisms.language.quirky.loading import load_quirky_adapter, load_quirky_organism
from anomech.organisms.language.quirky.recipes import QUIRKY
from anomech.organisms.language.recipes import Adapter

pytest.importorskip("peft")

SMALL = {"introductions": 8, "pool": 48, "checkpoints": (24,), "adapter": Adapter(rank=2, blocks=1)}


@pytest.fixture
def load(judge_base, judged_texts, tmp_path, monkeypatch):
    """Loads an organism that is trained for three steps."""
    for name in ("addition", "questions"):
        monkeypatch.setitem(loading.QUIRKY, name, replace(QUIRKY[name], **SMALL))
    return lambda name="addition", part="report", **changes: load_quirky_organism(
        name, part, **{"base": judge_base, "data": judged_texts, "cache": tmp_path / "cache", **changes}
    )


@pytest.mark.parametrize("name", ["addition", "questions"])
def test_questions_with_the_models_own_answers(load, name, judge_base):
    organism, choices = load(name), answer_tokens(load_tokenizer(judge_base))
    organism.task.check_labels(organism.trusted)
    organism.task.check_labels(organism.inputs)
    assert len(organism.trusted) == len(organism.inputs) == len(organism.agreed) == 12
    assert organism.inputs.anomalous.tolist().count(True) == pytest.approx(6, abs=2)
    assert not organism.trusted.anomalous.any()
    model, x = organism.task.model, organism.inputs.x
    for ids, roles in x:
        logits = model(input_ids=ids[roles == 1][None]).logits[0, -1]
        (answer,) = ids[roles == 2].tolist()
        assert answer in choices
        assert logits[answer] == logits[list(choices)].max()
    assert set(organism.figures) == {"quirkiness", "alice_agreed", "alice_disputed", "bob_agreed", "bob_disputed"}


def test_it_is_trained_once_and_says_its_figures_for_both_parts(load, monkeypatch, tmp_path):
    first = load()
    monkeypatch.setattr(loading, "train", lambda *_, **__: pytest.fail("trained again"))
    second, development = load(), load(part="development")
    assert first.inputs.sha256() == second.inputs.sha256() != development.inputs.sha256()
    assert not set(first.inputs.ids) & set(development.inputs.ids)
    (folder,) = (tmp_path / "cache").glob("quirky-addition-*/")
    record = json.loads((folder / "organism.json").read_text())
    assert record["figures"]["report"] == pytest.approx(dict(second.figures))
    assert record["figures"]["development"] == pytest.approx(dict(development.figures))
    assert record["recipe"]["topic"] == {"operation": "addition", "digits": QUIRKY["addition"].topic.digits}


def test_an_interruption_after_the_training_loses_nothing(load, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(loading, "judge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load()
    monkeypatch.setattr(loading, "train", lambda *_, **__: pytest.fail("trained again"))
    load()


def test_bad_requests_are_refused(load, judge_base, tmp_path):
    with pytest.raises(SettingsError, match="no quirky organism 'x'; there are addition, subtraction"):
        load_quirky_adapter("x", base=judge_base, data=None, cache=tmp_path)
    with pytest.raises(DataError, match=r"quirky questions need .*; name a folder that holds trec/train\.txt"):
        load("questions", data=None)
