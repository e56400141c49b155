import pytest
import torch

from anomech.errors import SettingsError
from anomech.explain.attribution import Quantity
from anomech.explain.occlusion import Occlusion


class Brightest(Quantity):
    """How bright the pixels of a mask are in all."""

    name = "brightness"
    passes = gradient_passes = 1

    def __init__(self, task, mask):
        self.task, self.mask = task, mask

    def values(self, x, answers):
        return (x * self.mask).sum(dim=(1, 2, 3))

    def differentiable(self, x, answers):
        return self.values(x, answers)


@pytest.fixture
def lit(fashion):
    """A number that counts three bright pixels in a dark image."""
    mask = torch.zeros(28, 28)
    mask[13:16, 5] = 1
    return Brightest(fashion[0], mask), mask[None, None].clone()


def test_the_pixels_that_count_come_first(lit):
    quantity, x = lit
    found = Occlusion().attribute(quantity, x)[0]
    row, column = divmod(int(found.argmax()), 28)
    assert abs(row - 14) <= 1
    assert abs(column - 5) <= 1
    assert found[0, 20] == 0


def test_finer_squares_tell_more(lit):
    quantity, x = lit
    areas = [
        int((found > 0.5 * found.max()).sum())
        for found in (Occlusion(levels=levels).attribute(quantity, x) for levels in (1, 2, 3))
    ]
    assert areas[0] > areas[1] > areas[2]


@pytest.mark.parametrize("size", [(2, 2), (5, 31), (1, 40)])
def test_small_and_long_images_have_values_too(lit, size):
    quantity, _ = lit
    quantity.mask = torch.ones(size)
    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    assert (Occlusion().attribute(quantity, x) != 0).all()


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="grid"):
        Occlusion(grid=1)
    with pytest.raises(SettingsError, match="levels"):
        Occlusion(levels=0)
