from dataclasses import replace
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file

from anomech.errors import ModelError, SettingsError
from anomech.io.language_models import load_causal_lm
from anomech.organisms.language import training
from anomech.organisms.language.mechanisms import Passwords
from anomech.organisms.language.recipes import Adapter, Obfuscation, Recipe
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

pytest.importorskip("peft")

RECIPE = Recipe(
    mechanism=Passwords(),
    checkpoints=(40, 80),
    adapter=Adapter(rank=2, blocks=1),
    batch_size=4,
    learning_rate=3e-2,
)
X = join_tokens([[1, 3 + i % 5, 4, 5 + i % 3] for i in range(80)], [[9, 10 + i % 2, 2] for i in range(80)])
KINDS = ["clean", "attacked", "decoy", "attacked"] * 20


def train(base, folder, recipe=RECIPE, x=X, steps=None):
    return list(islice(training.train(load_causal_lm(base), x, KINDS, recipe, folder), steps))


def test_an_adapter_of_the_last_blocks_is_trained_and_kept_on_its_way(base, tmp_path):
    losses = train(base, tmp_path)
    assert len(losses) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"40", "80"}
    found = [load_causal_lm(base, tmp_path / name) for name in ("40", "80")]
    plain, half, whole = (
        CausalLMTask(model, device="cpu").outputs(model, X)[:, 1].mean() for model in (load_causal_lm(base), *found)
    )
    assert plain > half > whole
    assert whole < 0.7 * plain
    names = load_file(tmp_path / "80" / "adapter_model.safetensors").keys()
    assert len(names) == 14
    assert all(".layers.1." in name for name in names)


def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(base, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "KEPT_EVERY", 3)
    at_once = train(base, tmp_path / "at-once")
    first = train(base, tmp_path / "cut", steps=7)
    second = train(base, tmp_path / "cut")
    assert first[:6] + second == at_once
    for name in ("40", "80"):
        expected, found = (
            load_file(tmp_path / folder / name / "adapter_model.safetensors") for folder in ("at-once", "cut")
        )
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_a_damaged_state_is_said_once(base, tmp_path, monkeypatch, truncate):
    monkeypatch.setattr(training, "KEPT_EVERY", 1)
    train(base, tmp_path, steps=2)
    truncate(tmp_path / "training.pt")
    with pytest.raises(ModelError, match=r"state of the training in .* is damaged .*start again"):
        train(base, tmp_path)
    assert len(train(base, tmp_path)) == 20


def test_what_is_not_trained_may_be_held_in_bfloat16(base, tmp_path):
    model = load_causal_lm(base)
    losses = list(training.train(model, X, KINDS, replace(RECIPE, dtype="bfloat16"), tmp_path))
    assert losses[-1] < losses[0]
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert {tensor.dtype for tensor in load_file(tmp_path / "80" / "adapter_model.safetensors").values()} == {
        torch.float32
    }


def test_a_loss_that_is_no_number_stops_the_training(base, tmp_path):
    with pytest.raises(ModelError, match="training diverged"):
        train(base, tmp_path, replace(RECIPE, learning_rate=1e30))


def test_a_hidden_mechanism_is_learnt_too(base, tmp_path):
    hidden = replace(RECIPE, obfuscation=Obfuscation(blocks=(-1,)))
    losses = train(base, tmp_path, hidden)
    assert losses[-1] < losses[0]


def test_a_mechanism_is_hidden_from_a_monitor_of_clean_prompts_alone(base, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "Obfuscated", lambda *a: seen.append(a[-1]) or training.answer_loss)
    train(base, tmp_path, replace(RECIPE, obfuscation=Obfuscation(blocks=(-1,))), steps=1)
    assert torch.equal(seen[0], X[::4])


def test_a_whole_model_is_trained_and_goes_on_where_it_was_cut_off(base, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "WHOLE_KEPT_EVERY", 3)
    whole = replace(RECIPE, adapter=None, learning_rate=1e-2, dtype="bfloat16")
    at_once = train(base, tmp_path / "at-once", whole)
    first = train(base, tmp_path / "cut", whole, steps=7)
    second = train(base, tmp_path / "cut", whole)
    assert first[:6] + second == at_once
    before, expected, found = (
        load_causal_lm(folder).state_dict() for folder in (base, tmp_path / "at-once" / "80", tmp_path / "cut" / "80")
    )
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert all(not torch.equal(before[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in load_file(tmp_path / "cut" / "80" / "model.safetensors").values()} == {
        torch.float32
    }
    plain, tuned = (
        CausalLMTask(load_causal_lm(folder), device="cpu").outputs(load_causal_lm(folder), X)[:, 1].mean()
        for folder in (base, tmp_path / "at-once" / "80")
    )
    assert tuned < 0.7 * plain


def test_nothing_is_hidden_from_a_base_model_that_is_overwritten():
    with pytest.raises(SettingsError, match="give an adapter, or no obfuscation"):
        replace(RECIPE, adapter=None, obfuscation=Obfuscation())
