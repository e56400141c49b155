import pytest
import torch
from torch import nn

from anomech.errors import SettingsError
from anomech.sampling.flat import FlatModel


def test_writing_the_weights_changes_the_copy_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    flat, x = FlatModel(model), torch.randn(4, 2)
    torch.testing.assert_close(flat.model(x), model(x))
    flat.weights.zero_()
    assert (flat.model(x) == 0).all()
    assert (model(x) != 0).any()


def test_parameters_that_are_not_chosen_are_no_weights_and_take_no_gradient():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    flat = FlatModel(model, r"^1\.")
    assert len(flat.weights) == 4
    flat.weights.zero_()
    assert (flat.model[1].weight == 0).all()
    assert torch.equal(flat.model[0].weight, model[0].weight)
    flat.model(torch.randn(4, 2)).sum().backward()
    assert (flat.gradient != 0).any()
    assert flat.model[0].weight.grad is None


def test_weights_on_several_devices_are_refused():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, device="meta"))
    with pytest.raises(SettingsError, match="several devices"):
        FlatModel(model)
