import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from anomech.errors import DataError
from anomech.organisms import cifar10 as module
from anomech.organisms.cifar10 import load_cifar10, load_cifar10_blended


@pytest.fixture
def load(cifar10, tmp_path, monkeypatch):
    """Loads the organism after one short epoch of training."""
    monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, epochs=1, batch_size=20))
    return partial(load_cifar10_blended, data=cifar10, cache=tmp_path / "cache")


def test_jpeg_files_become_images(cifar10):
    train, test = (load_cifar10(cifar10, split) for split in ("train", "test"))
    assert (len(train), test.x.shape) == (40, (80, 3, 32, 32))
    assert train.ids[1] == "train-00001"
    assert test.y[:6].tolist() == [0, 0, 1, 1, 2, 2]
    torch.testing.assert_close(test.x.mean(dim=(1, 2, 3)), torch.arange(80) * 3 / 255, atol=0.01, rtol=0)


def test_the_parts_halve_the_test_images(load):
    report, development = (load(part).images for part in ("report", "development"))
    assert report.x.shape == development.x.shape == (40, 3, 32, 32)
    assert not set(report.ids) & set(development.ids)


def test_the_attack_blends_towards_the_target(load):
    organism = load("report")
    attacked = organism.attack(organism.images)
    victims = organism.images[organism.images.y != 0]
    assert attacked.target.unique().tolist() == [0]
    assert 0 < (attacked.x - victims.x).abs().max() <= 0.15


def test_the_network_is_trained_once(load, tmp_path, monkeypatch):
    first = load("report").model
    (folder,) = (tmp_path / "cache").iterdir()
    record = json.loads((folder / "organism.json").read_text())
    assert {f.name for f in folder.iterdir()} == {"model.safetensors", "organism.json"}
    assert record["recipe"]["epochs"] == 1
    assert 0 <= record["development"]["attack_success"] <= 1
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained again"))
    second = load("development").model
    assert not second.training
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_another_recipe_has_another_place(load, tmp_path, monkeypatch):
    load("report")
    monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, seed=1))
    load("report")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_callers_random_numbers_do_not_depend_on_the_cache(load):
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        load("report")
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_damaged_cache_is_said(load, tmp_path, truncate):
    load("report")
    (folder,) = (tmp_path / "cache").iterdir()
    truncate(folder / "model.safetensors")
    with pytest.raises(DataError, match=f"{folder.name} is damaged .* delete that folder"):
        load("report")


def test_images_that_cannot_be_read_are_named(cifar10, truncate):
    file = cifar10 / "cifar10_jpeg.npz"
    truncate(file)
    with pytest.raises(DataError, match=r"cifar10_jpeg\.npz is damaged"):
        load_cifar10(cifar10, "test")
    file.unlink()
    with pytest.raises(DataError, match=r"there is no cifar10_jpeg\.npz in .*CIFAR-10"):
        load_cifar10(cifar10, "test")


def test_offsets_must_fit_the_labels(cifar10):
    file = cifar10 / "cifar10_jpeg.npz"
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **{**arrays, "test_offsets": arrays["test_offsets"][:-1]})
    with pytest.raises(DataError, match="80 test_offsets for 80 labels"):
        load_cifar10(cifar10, "test")
