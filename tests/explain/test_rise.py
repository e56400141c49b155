import pytest
import torch

from anomech.errors import SettingsError
from anomech.explain.attribution import Quantity
from anomech.explain.rise import RISE


class Bright(Quantity):
    name = "brightness"
    passes = gradient_passes = 1

    def __init__(self, task, weights):
        self.task, self.weights = task, weights

    def values(self, x, answers):
        return (x * self.weights).sum(dim=(1, 2, 3))

    differentiable = values


def test_pixels_that_count_come_out_of_many_copies(fashion):
    weights = torch.zeros(28, 28)
    weights[8:12, 16:20] = 1
    x = weights[None, None] + 0.01
    found = RISE(copies=600).attribute(Bright(fashion[0], weights), x)[0]
    assert found[8:12, 16:20].mean() > 4 * found.abs().mean()


def test_every_pixel_is_shown_in_some_copies_and_hidden_in_others():
    hidden = RISE()._hidden(torch.Size([28, 30]))
    shown = (~hidden).double().mean(dim=0)
    assert hidden.shape == (65, 28, 30)
    assert shown.min() > 0.2
    assert shown.max() < 0.8


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="at least 2"):
        RISE(copies=1)
    with pytest.raises(SettingsError, match="shown"):
        RISE(shown=1)
