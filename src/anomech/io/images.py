"""Decoding of image files into one batch."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from anomech.errors import DataError

# Pillow can also open formats that start other programs, such as EPS; examples may come from strangers.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")


def decode_images(images: Iterable[tuple[str, bytes]], *, side: int | None = None) -> Tensor:
    """One batch of images of equal size.

    Args:
        images: Name and file contents of each image.
        side: Height and width that all are resized to; by default they have to be equal already.

    Returns:
        Float32 `[n, channels, height, width]` in [0, 1]; one channel if every image is greyscale, else RGB.

    Raises:
        DataError: No images, an unreadable one, or images of different sizes.
    """
    names: list[str] = []
    pixels: list[NDArray[Any]] = []
    for name, data in images:
        names.append(name)
        pixels.append(_decode(name, data, side))
        if pixels[-1].shape[:2] != pixels[0].shape[:2]:
            raise DataError(
                f"all images must have the same size, but {names[0]!r} is {_size(pixels[0])} "
                f"and {name!r} is {_size(pixels[-1])} (width x height); resize them."
            )
    if not pixels:
        raise DataError("no images; at least one is needed.")
    height, width, _ = pixels[0].shape
    batch = np.empty((len(pixels), max(p.shape[2] for p in pixels), height, width), np.float32)
    for position, image in enumerate(pixels):
        batch[position] = to_unit(image).transpose(2, 0, 1)
    return torch.from_numpy(batch)


def to_unit(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Unsigned integer pixels, of any shape, as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def _size(pixels: NDArray[Any]) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _decode(name: str, data: bytes, side: int | None) -> NDArray[Any]:
    """Pixels `[height, width, 1 or 3]`, uint8 or uint16."""
    try:
        image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        image.load()
    except Exception as error:  # on damaged bytes Pillow's decoders raise errors of many kinds
        raise DataError(f"{name!r} is truncated or not an image; remove or replace it.") from error
    if side is not None and image.size != (side, side):
        grey = image.mode in ("1", "LA")
        smooth = image.convert("L" if grey else "RGB") if grey or image.mode == "P" else image
        image = smooth.resize((side, side), Image.Resampling.BILINEAR)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode.startswith(("I", "F")):
        return _sixteen_bit(name, image)
    return np.asarray(image.convert("RGB"))


def _sixteen_bit(name: str, image: Image.Image) -> NDArray[np.uint16]:
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise DataError(f"{name!r} has 32-bit pixels; save it with 8 or 16 bits.")
    return pixels.astype(np.uint16)[..., None]
