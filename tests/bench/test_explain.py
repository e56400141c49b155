import logging
from dataclasses import replace

import pytest
import torch

from anomech.bench import explain
from anomech.bench.setup import Setup
from anomech.explain.controls import RandomPlaces
from anomech.explain.occlusion import Occlusion
from anomech.organisms.fashion import load_fashion
from anomech.organisms.organism import Organism
from anomech.organisms.triggers import BlendTrigger, WarpTrigger


@pytest.fixture
def small(monkeypatch, tmp_path):
    for name, size in {"TRUSTED": 120, "CLEAN": 20, "ATTACKED": 6}.items():
        monkeypatch.setattr(explain, name, size)
    chosen = {"anomaly, occlusion": ("anomaly", Occlusion()), "random": ("anomaly", RandomPlaces())}
    monkeypatch.setattr(explain, "attributions", lambda setup: chosen)
    return Setup(cache=tmp_path)


def test_occlusion_finds_the_trigger_and_chance_does_not(small, monkeypatch):
    found, random = explain.rows(small)
    assert found["organism"] == random["organism"] == "fashion-badnets"
    assert found["trigger_share"] == pytest.approx(16 / 784)
    assert found["centre_in_top_2"] == 1
    assert (found["centre_of_hidden_in_2"], random["centre_of_hidden_in_2"]) == (1, 0)
    assert found["neutralised"] >= 0.75
    assert found["spread_out"] == 0
    assert found["deletion"] < 0.2 < 0.6 < found["insertion"]
    assert random["spread_out"] == 1
    assert random["energy_in_mask"] < 0.1
    assert random["last_layer"] == pytest.approx(1)
    assert set(explain.COLUMNS) <= found.keys()
    monkeypatch.setattr(explain._Bench, "row", lambda *_: pytest.fail("computed again"))
    assert list(explain.rows(small)) == [found, random]


def with_trigger(trigger):
    organism = load_fashion("report", data=None)

    def attack(examples):
        return replace(examples, x=trigger(examples.x))

    return Organism(name="other", model=organism.model, images=organism.images, attack=attack)


@pytest.mark.parametrize(("trigger", "most"), [(BlendTrigger(), 1.0), (WarpTrigger(), 0.0)])
def test_the_shape_of_a_trigger_is_what_it_does_to_blank_images(small, trigger, most):
    bench = explain._Bench("other", with_trigger(trigger), small)
    bench.positions = torch.arange(2)
    assert bench.mask.shape == (2, 28, 28)
    share = float(bench.mask.double().mean())
    assert 0.5 < share <= most or share == most


def test_an_organism_without_files_is_left_out(small, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(explain, "PATCHES", ())
    monkeypatch.setattr(explain, "SPREAD_OUT", ())
    with caplog.at_level(logging.WARNING):
        names = {row["organism"] for row in explain.rows(Setup(cache=small.cache, data=tmp_path))}
    assert names == {"fashion-badnets"}
    assert "published gtsrb-trojan is left out" in caplog.text
