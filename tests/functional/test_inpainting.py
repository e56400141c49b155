import pytest
import torch

from anomech.functional.inpainting import inpaint


def hole(height, width):
    hidden = torch.zeros(1, height, width, dtype=torch.bool)
    hidden[:, 2:6, 3:7] = True
    return hidden


def test_a_flat_image_is_filled_flat():
    x = torch.full((1, 3, 9, 11), 0.3)
    hidden = hole(9, 11)
    assert torch.allclose(inpaint(torch.where(hidden[:, None], 9.0, x), hidden), x)


def test_a_ramp_is_continued():
    x = torch.linspace(0, 1, 16).expand(1, 1, 16, 16)
    filled = inpaint(x, hole(16, 16))
    assert (filled - x).abs().max() < 0.2
    assert filled.min() >= 0


def test_what_is_known_stays():
    x, hidden = torch.rand(1, 2, 9, 11), hole(9, 11)
    assert torch.equal(inpaint(x, hidden)[:, :, ~hidden[0]], x[:, :, ~hidden[0]])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 8)])
def test_an_image_of_which_nothing_is_left_is_grey(size):
    assert torch.equal(
        inpaint(torch.rand(2, 1, *size), torch.ones(2, *size, dtype=torch.bool)), torch.full((2, 1, *size), 0.5)
    )
