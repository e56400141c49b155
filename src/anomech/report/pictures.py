"""Images as they are written into the page."""

from __future__ import annotations

import base64
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

LARGEST_SIDE = 224
"""Twice the size at which the page shows the largest picture, for dense screens."""

HEAT = (0.86, 0.15, 0.05)
"""Colour of what adds most, in red, green and blue."""
OPACITY = 0.85


def pictured(x: Tensor) -> bool:
    """Are these inputs images that can be shown?"""
    return x.ndim == 4 and x.shape[1] in (1, 3)


def pixelated(x: Tensor) -> bool:
    """Do these images have fewer pixels than the page shows them with?"""
    return max(x.shape[-2:]) < LARGEST_SIDE / 2


def heat_uri(image: Tensor, values: Tensor) -> str:
    """A PNG of an image `[1 or 3, h, w]` in grey, in red where values `[h, w]` are high; those below 0 count as 0."""
    strength = values.clamp_min(0) / values.amax().clamp_min(torch.finfo(values.dtype).tiny)
    grey = image.detach().cpu().mean(dim=0, keepdim=True).expand(3, -1, -1)
    return data_uri(torch.lerp(grey, torch.tensor(HEAT)[:, None, None].expand_as(grey), OPACITY * strength.sqrt()))


def data_uri(image: Tensor) -> str:
    """A PNG of an image `[1 or 3, h, w]` in [0, 1]; larger ones than the page can use are scaled down."""
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    png = BytesIO()
    picture.save(png, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
