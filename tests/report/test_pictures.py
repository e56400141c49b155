import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from anomech.report.numbers import fixed, known, p_value_decimals, score_decimals
from anomech.report.pictures import data_uri, heat_uri, pictured, pixelated


def decoded(uri):
    header, data = uri.split(",")
    assert header == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_survive_the_page(channels):
    pixels = torch.randint(256, (channels, 28, 20), dtype=torch.uint8)
    shown = decoded(data_uri(pixels.float() / 255))
    expected = pixels.permute(1, 2, 0).numpy()
    assert np.array_equal(shown, expected[..., 0] if channels == 1 else expected)


def test_values_outside_the_unit_interval_are_clamped():
    assert decoded(data_uri(torch.tensor([[[-1.0, 2.0]]]))).tolist() == [[0, 255]]


@pytest.mark.parametrize("channels", [1, 3])
def test_heat_is_red_where_values_are_highest_and_grey_where_there_is_none(channels):
    values = torch.tensor([[0.0, 2.0], [-5.0, 0.5]])
    shown = decoded(heat_uri(torch.full((channels, 2, 2), 0.5), values)).astype(int)
    redness = shown[..., 0] - shown[..., 2]
    assert redness[0, 1] > redness[1, 1] > 0
    assert redness[0, 0] == redness[1, 0] == 0


def test_heat_of_nothing_is_the_image_in_grey():
    assert (decoded(heat_uri(torch.ones(1, 2, 2), torch.zeros(2, 2))) == 255).all()


def test_large_images_are_scaled_down_and_keep_their_shape():
    assert decoded(data_uri(torch.rand(3, 300, 600))).shape == (112, 224, 3)


def test_only_images_are_pictured():
    assert pictured(torch.rand(2, 1, 8, 8))
    assert pictured(torch.rand(2, 3, 8, 8))
    assert not pictured(torch.rand(2, 4, 8, 8))
    assert not pictured(torch.rand(2, 20))


def test_only_small_images_are_pixelated():
    assert pixelated(torch.rand(1, 1, 28, 28))
    assert not pixelated(torch.rand(1, 3, 64, 224))


def test_numbers():
    assert fixed(-1234.5, 1) == "−1,234.5"
    assert known(0.5, 1, scale=100, unit=" %") == "50.0 %"
    assert known(None, 1) == known(float("nan"), 1) == "–"


@pytest.mark.parametrize(("largest", "decimals"), [(0.93, 4), (-1.2, 3), (1234.5, 0), (2e-12, 8), (0.0, 0)])
def test_scores_have_four_digits(largest, decimals):
    assert score_decimals(torch.tensor([largest, 0.0])) == decimals


@pytest.mark.parametrize("n", [10, 99, 100, 200, 999, 1000, 12345])
def test_the_smallest_p_value_is_never_shown_as_zero(n):
    assert float(fixed(1 / (n + 1), p_value_decimals(n))) > 0
