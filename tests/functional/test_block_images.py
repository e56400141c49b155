import pytest
import torch

from anomech.errors import DataError
from anomech.functional.block_images import block_images, leakage

SIGNAL = torch.full((2, 1, 6, 6), 0.5)
IMAGES = block_images(SIGNAL, signal_on_top=torch.tensor([True, False]))


def test_the_signal_is_above_or_below_a_square():
    first, second = IMAGES.x[:, 0]
    square = torch.zeros(6, 6)
    square[2:4, 2:4] = 1
    assert torch.equal(first, torch.cat([SIGNAL[0, 0], square]))
    assert torch.equal(second, torch.cat([square, SIGNAL[1, 0]]))
    assert IMAGES.null[0, 6:].all()
    assert not IMAGES.null[0, :6].any()
    assert torch.equal(IMAGES.null[1], ~IMAGES.null[0])


def test_leakage_is_the_share_of_the_energy_on_the_null_block():
    null = IMAGES.null
    attribution = torch.where(null, 1.0, -2.0)
    assert leakage(attribution, null).tolist() == [0.2, 0.2]
    assert leakage((~null).float(), null).tolist() == [0, 0]
    assert leakage(null.float(), null).tolist() == [1, 1]
    assert leakage(torch.zeros(2, 12, 6), null).tolist() == [0.5, 0.5]


def test_what_does_not_belong_to_the_images_is_refused():
    with pytest.raises(DataError, match=r"2 images need as many positions; got \[1\]"):
        block_images(SIGNAL, signal_on_top=torch.tensor([True]))
    with pytest.raises(DataError, match=r"shape of the null blocks, \[2, 12, 6\]; got \[2, 6, 6\]"):
        leakage(torch.zeros(2, 6, 6), IMAGES.null)
    with pytest.raises(DataError, match="72 values of them NaN or infinite"):
        leakage(torch.zeros(2, 12, 6).index_fill(0, torch.tensor([0]), torch.nan), IMAGES.null)
