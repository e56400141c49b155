import pytest
import torch

from anomech.errors import SettingsError
from anomech.explain.erasers import ImageEraser


@pytest.mark.parametrize("fill", ["surroundings", "mean"])
def test_nothing_of_what_is_hidden_is_left_and_the_rest_stays(fill):
    x = torch.rand(2, 3, 8, 8)
    hidden = torch.zeros(2, 8, 8, dtype=torch.bool)
    hidden[0, 2:5, 3:6] = True
    other = x.clone()
    other[0, :, 2:5, 3:6] = 7
    eraser = ImageEraser(fill)
    found = eraser.erase(x, hidden)
    assert torch.equal(found, eraser.erase(other, hidden))
    assert torch.equal(found[1], x[1])
    assert torch.equal(found[0, :, ~hidden[0]], x[0, :, ~hidden[0]])


def test_places_are_pixels():
    assert ImageEraser().places(torch.rand(2, 3, 8, 9)) == (8, 9)
    with pytest.raises(SettingsError, match="images"):
        ImageEraser().places(torch.rand(2, 9))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="fill"):
        ImageEraser("black")
