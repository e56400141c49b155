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


def test_weights_on_several_devices_are_refused():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, device="meta"))
    with pytest.raises(SettingsError, match="several devices"):
        FlatModel(model)
