from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from anomech.errors import DataError
from anomech.io.images import decode_images

NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def encode(image, kind="PNG"):
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def decode(*images):
    return decode_images((f"{i}.png", data) for i, data in enumerate(images))


def test_bilevel_images_have_one_channel_of_zeros_and_ones():
    image = Image.fromarray(np.eye(4, dtype=np.uint8) * 255).convert("1")
    x = decode(encode(image))
    assert x.dtype == torch.float32
    assert torch.equal(x[0, 0], torch.eye(4))


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_greyscale_images_have_one_channel(mode):
    x = decode(encode(Image.fromarray(NOISE[..., 0]).convert(mode)))
    assert torch.equal(x[0, 0], torch.from_numpy(NOISE[..., 0]) / 255)
    assert x.shape == (1, 1, 16, 16)


def test_sixteen_bits_keep_their_precision():
    pixels = np.array([[0, 1], [256, 65535]], np.uint16)
    x = decode(encode(Image.fromarray(pixels)))
    assert x[0, 0].tolist() == [[0.0, pytest.approx(1 / 65535)], [pytest.approx(256 / 65535), 1.0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_images_have_three_channels(mode):
    image = Image.new("RGB", (3, 2), (255, 0, 51)).convert(mode)
    assert decode(encode(image))[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


def test_greyscale_among_colour_becomes_colour():
    grey, colour = Image.new("L", (3, 2), 51), Image.new("RGB", (3, 2), (255, 0, 0))
    x = decode(encode(grey), encode(colour))
    assert x.shape == (2, 3, 2, 3)
    assert x[0, :, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert x[1, :, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_different_sizes_are_named():
    images = [encode(Image.new("L", size)) for size in ((3, 2), (3, 2), (2, 3))]
    with pytest.raises(DataError, match=r"same size, but '0\.png' is 3x2 and '2\.png' is 2x3"):
        decode(*images)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
def test_truncated_images_are_named(kind, kept):
    whole = encode(Image.fromarray(NOISE), kind)
    assert decode(whole).shape == (1, 3, 16, 16)
    with pytest.raises(DataError, match=r"'1\.png' is truncated or not an image; remove or replace it"):
        decode(whole, whole[: int(kept * len(whole))])


@pytest.mark.parametrize(
    "data", [b"not an image", encode(Image.new("RGB", (3, 2)), "EPS"), encode(Image.new("RGB", (3, 2)), "PCX")]
)
def test_files_of_other_formats_are_named(data):
    with pytest.raises(DataError, match=r"'0\.png' is truncated or not an image"):
        decode(data)


@pytest.mark.parametrize(
    "pixels", [np.full((2, 2), 0.5, np.float32), np.full((2, 2), -1, np.int32), np.full((2, 2), 65536, np.int32)]
)
def test_pixels_without_a_known_range_are_refused(pixels):
    with pytest.raises(DataError, match=r"'0\.png' has 32-bit pixels; save it with 8 or 16 bits"):
        decode(encode(Image.fromarray(pixels), "TIFF"))


def test_no_images_are_refused():
    with pytest.raises(DataError, match="no images"):
        decode()
