import pytest
import torch

from anomech.functional.quantization import BLOCK, dequantize, quantize


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
def test_round_trip_is_within_half_a_scale(length):
    values = torch.randn(length, generator=torch.Generator().manual_seed(0)) * 0.01
    codes, scales = quantize(values)
    assert codes.dtype == torch.int8
    assert codes.shape == values.shape
    restored = dequantize(codes, scales)
    bound = scales.repeat_interleave(BLOCK)[:length] / 2
    assert ((restored - values).abs() <= bound * (1 + 1e-4)).all()


def test_blocks_have_their_own_scale():
    values = torch.cat([torch.full((BLOCK,), 1e-6), torch.full((BLOCK,), 10.0)])
    torch.testing.assert_close(dequantize(*quantize(values)), values)


def test_zeros_stay_zeros():
    assert dequantize(*quantize(torch.zeros(10))).eq(0).all()
