import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from anomech.errors import DataError, SettingsError
from anomech.organisms import trained as module
from anomech.organisms.attacks import ADAPTIVE, ATTACKS
from anomech.organisms.trained import load_trained
from anomech.organisms.training import Recipe
from anomech.progress import silent

SHORT = Recipe(epochs=1, batch_size=20)


@pytest.fixture
def shorten(monkeypatch):
    """Changes the recipe of CIFAR-10; by default to one short epoch."""

    def change(recipe=SHORT):
        monkeypatch.setitem(module.DATASETS, "cifar10", replace(module.DATASETS["cifar10"], recipe=recipe))

    change()
    return change


@pytest.fixture
def load(cifar10, tmp_path, shorten):
    return partial(load_trained, "cifar10", data=cifar10, cache=tmp_path / "cache")


def folders(tmp_path):
    return sorted(path for path in (tmp_path / "cache").iterdir() if path.is_dir())


def test_the_parts_halve_the_test_images(load):
    report, development = (load("blended", part).images for part in ("report", "development"))
    assert report.x.shape == development.x.shape == (40, 3, 32, 32)
    assert not set(report.ids) & set(development.ids)


def test_the_attack_blends_towards_the_target(load):
    organism = load("blended", "report")
    attacked = organism.attack(organism.images)
    victims = organism.images[organism.images.y != 0]
    assert organism.name == "cifar10-blended"
    assert attacked.target.unique().tolist() == [0]
    assert 0 < (attacked.x - victims.x).abs().max() <= 0.15


def test_the_network_is_trained_once(load, tmp_path, monkeypatch):
    first = load("blended", "report").model
    (folder,) = folders(tmp_path)
    record = json.loads((folder / "organism.json").read_text())
    assert {f.name for f in folder.iterdir()} == {"model.safetensors", "organism.json"}
    assert record["recipe"]["epochs"] == 1
    assert 0 <= record["development"]["attack_success"] <= 1
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    second = load("blended", "development").model
    assert not second.training
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


@pytest.mark.parametrize("attack", ["input-aware", "trojan"])
def test_a_learnt_trigger_is_kept(load, tmp_path, attack):
    first = load(attack, "report")
    assert any((folder / "trigger.safetensors").exists() for folder in folders(tmp_path))
    second = load(attack, "report")
    torch.testing.assert_close(first.attack(first.images).x, second.attack(second.images).x)


def test_attacks_share_a_surrogate(load, tmp_path):
    load("trojan", "report")
    load("label-consistent", "report")
    assert len([f for f in folders(tmp_path) if f.name.startswith("cifar10-clean-")]) == 1


def test_another_recipe_or_rate_has_another_place(load, tmp_path, shorten):
    load("blended", "report")
    assert load("blended", "report", rate=0.01).name == "cifar10-blended-0.01"
    shorten(replace(SHORT, seed=1))
    load("blended", "report")
    assert len(folders(tmp_path)) == 3


def test_a_training_that_was_cut_off_goes_on_where_it_was(load, tmp_path, shorten):
    shorten(replace(SHORT, epochs=3))
    expected = load("blended", "report").model.state_dict()
    (tmp_path / "cache").rename(tmp_path / "finished")

    def stop_after_the_first(steps, description, total):
        if description.startswith("training"):
            yield next(iter(steps))
            raise KeyboardInterrupt
        yield from steps

    with pytest.raises(KeyboardInterrupt):
        load("blended", "report", track=stop_after_the_first)
    assert not folders(tmp_path)
    epochs = []
    model = load("blended", "report", track=lambda steps, *_: (epochs.append(s) or s for s in steps)).model
    assert len([e for e in epochs if isinstance(e, float)]) == 2
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert not list((tmp_path / "cache").glob(".*"))


def test_the_callers_random_numbers_do_not_depend_on_the_cache(load):
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        load("blended", "report")
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_damaged_cache_is_said(load, tmp_path, truncate):
    load("blended", "report")
    (folder,) = folders(tmp_path)
    truncate(folder / "model.safetensors")
    with pytest.raises(DataError, match=f"{folder.name} is damaged .* delete that folder"):
        load("blended", "report")


def test_unknown_names_are_answered_with_the_known(cifar10, tmp_path):
    with pytest.raises(SettingsError, match="no dataset 'mnist'; there are fashion, cifar10, gtsrb"):
        load_trained("mnist", "blended", "report", data=cifar10, cache=tmp_path)


def test_adaptive_attacks_on_signs_are_trained_for_less():
    epochs = {
        name: module._builder("gtsrb", name, None, Path(), Path(), silent).dataset.recipe.epochs for name in ATTACKS
    }
    assert {name for name, number in epochs.items() if number == 5} == set(ADAPTIVE)
    assert set(epochs.values()) == {5, 12}
