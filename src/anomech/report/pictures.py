"""Images as they are written into the page."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image
from torch import Tensor

LARGEST_SIDE = 224
"""Twice the size at which the page shows the largest picture, for dense screens."""


def pictured(x: Tensor) -> bool:
    """Are these inputs images that can be shown?"""
    return x.ndim == 4 and x.shape[1] in (1, 3)


def pixelated(x: Tensor) -> bool:
    """Do these images have fewer pixels than the page shows them with?"""
    return max(x.shape[-2:]) < LARGEST_SIDE / 2


def data_uri(image: Tensor) -> str:
    """A PNG of an image `[1 or 3, h, w]` in [0, 1]; larger ones than the page can use are scaled down."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    png = BytesIO()
    picture.save(png, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
