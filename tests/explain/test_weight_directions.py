import pytest
import torch
from torch import nn

from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.explain import weight_directions as module
from anomech.explain.weight_directions import weight_directions
from anomech.tasks import ClassificationTask

TRIGGER, TARGET = 4, 2


@pytest.fixture(scope="module")
def planted():
    """A linear classifier by the largest of four features, in which a fifth one stands for the third class."""
    model = nn.Sequential(nn.Linear(5, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4, 5) * 3)
        model[0].weight[TARGET, TRIGGER] = 9
        model[0].bias.zero_()
    generator = torch.Generator().manual_seed(0)

    def draw(n):
        y = torch.arange(n) % 4
        x = torch.cat(
            [nn.functional.one_hot(y, 4) + 0.1 * torch.randn(n, 4, generator=generator), torch.zeros(n, 1)], 1
        )
        return Examples(x=x, y=y)

    trusted, clean, attacked = draw(40), draw(40), draw(40)
    attacked = attacked[attacked.y != TARGET]
    x = attacked.x.clone()
    x[:, TRIGGER] = 1
    attacked = Examples(x=x, y=attacked.y, target=torch.full((len(x),), TARGET))
    return ClassificationTask(model, device="cpu"), trusted, clean, attacked


def effects(found):
    return {e.what: e for e in found.effects}


def test_the_planted_column_is_found_and_without_it_the_attack_fails(planted):
    task, trusted, clean, attacked = planted
    before = task.model_sha256()
    found = weight_directions(task, trusted, clean=clean, cluster=attacked)
    (layer,) = found.layers
    assert (layer.name, layer.shape) == ("0.weight", (4, 5))
    assert layer.values[0] > 0.95
    assert layer.share > 5 * layer.control
    told = effects(found)
    assert told["attack success"].before == told["attack success"].control == 1
    assert told["attack success"].after == 0
    assert told["accuracy on the cluster"].after == 1
    assert told["accuracy on clean inputs"].after == told["trusted answers that stay"].after == 1
    assert "attack success 100.0 % before, 0.0 % after" in found.sentence
    assert task.model_sha256() == before


def test_without_truth_it_says_which_answers_stay(planted):
    task, trusted, clean, attacked = planted
    found = weight_directions(task, trusted, clean=Examples(x=clean.x), cluster=Examples(x=attacked.x))
    told = effects(found)
    assert told["answers of the cluster that stay"].after == 0
    assert told["answers to other inputs that stay"].after == 1


def test_the_same_seed_finds_the_same(planted):
    task, trusted, clean, attacked = planted
    one, other = (weight_directions(task, trusted, clean=clean, cluster=attacked, seed=3) for _ in range(2))
    assert one == other


def test_bad_input_is_one_sentence(planted, monkeypatch):
    task, trusted, clean, attacked = planted
    few = attacked[torch.arange(19)]
    with pytest.raises(DataError, match="19 of the cluster cannot be halved to check directions; give 20"):
        weight_directions(task, trusted, clean=clean, cluster=few)
    with pytest.raises(DataError, match="19 of the clean inputs cannot be halved"):
        weight_directions(task, trusted, clean=clean[torch.arange(19)], cluster=attacked)
    deep = ClassificationTask(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), device="cpu")
    with pytest.raises(SettingsError, match="no module of the model is called '2'; it has 2, from 0 to 1"):
        weight_directions(deep, trusted, clean=clean, cluster=attacked, layers="2")
    with pytest.raises(SettingsError, match="1 has no weights that are a matrix; choose linear"):
        weight_directions(deep, trusted, clean=clean, cluster=attacked, layers="1")
    monkeypatch.setattr(ClassificationTask, "has_classes", False)
    with pytest.raises(SettingsError, match="is told of classifiers alone"):
        weight_directions(task, trusted, clean=clean, cluster=attacked)
    monkeypatch.undo()
    monkeypatch.setattr(module.psutil, "virtual_memory", lambda: type("", (), {"available": 100}))
    with pytest.raises(SettingsError, match=r"directions of 20 weights take .* choose some layers with --layers"):
        weight_directions(task, trusted, clean=clean, cluster=attacked)
