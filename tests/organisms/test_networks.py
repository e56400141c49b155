from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from anomech.errors import DataError
from anomech.organisms import networks as module
from anomech.organisms.models import MLP
from anomech.organisms.networks import Adversary, Network
from anomech.organisms.training import Recipe

NETWORK = Network(
    name="points",
    build=partial(MLP, pixels=20, classes=2, width=16),
    recipe=Recipe(epochs=20, batch_size=50, learning_rate=0.02),
    data={"images": "points"},
)


@pytest.fixture
def points():
    """Images whose class one pixel shows in nine of ten, and the others together, each faintly."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(500) % 2
    sign = 2.0 * y[:, None] - 1
    strong = 0.4 * sign * torch.where(torch.rand(500, 1, generator=generator) < 0.9, 1, -1)
    faint = 0.03 * (sign + torch.randn(500, 19, generator=generator))
    return (0.5 + torch.cat([strong, faint], dim=1)).clamp(0, 1).view(-1, 1, 4, 5), y


def test_a_network_is_trained_once(points, tmp_path, monkeypatch):
    first = NETWORK.load(*points, cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [NETWORK.key]
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    second = NETWORK.load(*points, cache=tmp_path)
    assert not second.training
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_whatever_it_is_made_of_changes_its_place():
    others = [
        replace(NETWORK, recipe=Recipe(seed=1)),
        replace(NETWORK, data={"images": "others"}),
        replace(NETWORK, build=partial(MLP, pixels=20, width=16)),
        replace(NETWORK, adversary=Adversary(radius=1)),
        replace(NETWORK, adversary=Adversary(radius=2)),
    ]
    assert len({network.key for network in (NETWORK, *others)}) == 6


def test_training_against_an_adversary_leaves_it_less_to_gain(points, tmp_path):
    x, y = points
    adversary = Adversary(radius=0.35)
    standard, robust = (
        F.cross_entropy(model(adversary(model, x, y)), y)
        for model in (
            network.load(x, y, cache=tmp_path) for network in (NETWORK, replace(NETWORK, adversary=adversary))
        )
    )
    assert robust < 0.9 * standard


def test_a_training_that_was_cut_off_goes_on(points, tmp_path):
    def stop(steps, *_):
        yield next(iter(steps))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NETWORK.load(*points, cache=tmp_path / "cut", track=stop)
    epochs = []
    goes_on = NETWORK.load(
        *points, cache=tmp_path / "cut", track=lambda steps, *_: (epochs.append(s) or s for s in steps)
    )
    at_once = NETWORK.load(*points, cache=tmp_path / "whole")
    assert len(epochs) == 19
    for name, tensor in at_once.state_dict().items():
        torch.testing.assert_close(tensor, goes_on.state_dict()[name])


def test_a_damaged_network_is_said(points, tmp_path, truncate):
    NETWORK.load(*points, cache=tmp_path)
    truncate(tmp_path / NETWORK.key / "model.safetensors")
    with pytest.raises(DataError, match=f"{NETWORK.key} is damaged .* delete that folder"):
        NETWORK.load(*points, cache=tmp_path)
