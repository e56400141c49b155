import torch
from torch import nn

from anomech.examples import Examples
from anomech.explain.removal import answers, removal_effects, without
from anomech.functional.carriers import find_carrier
from anomech.tasks import ClassificationTask


def test_only_the_named_parameters_lose_their_component():
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 2))
    gradient = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    carrier = find_carrier(gradient, torch.zeros(1, 3, 8), rank=1)
    changed = without(model, {"0.weight": carrier})
    assert carrier.along(changed[0].weight.detach().flatten(1)).abs().max() < 1e-6
    assert not changed[0].weight.equal(model[0].weight)
    assert changed[2].weight.equal(model[2].weight)


def test_effects_are_those_of_each_model_on_each_set():
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    task = ClassificationTask(model, device="cpu")
    first, second = torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 1.0]])
    column = find_carrier(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(1, 2, 2), rank=1)
    cluster = Examples(x=first, y=torch.tensor([1]), target=torch.tensor([0]))
    clean = Examples(x=second, y=torch.tensor([1]))
    # Without its first weight the model takes the first input for the second class.
    assert answers(task, without(model, {"weight": column}), cluster).tolist() == [1]
    found = removal_effects(task, clean, clean, cluster, removed=[{"weight": column}, {}])
    assert [(e.what, e.before, e.after, e.control) for e in found] == [
        ("attack success", 1, 0, 1),
        ("accuracy on the cluster", 0, 1, 0),
        ("accuracy on clean inputs", 1, 1, 1),
        ("trusted answers that stay", 1, 1, 1),
    ]
