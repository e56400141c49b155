"""Corruptions that keep what an image shows, each at five severities.

All take images `[n, channels, height, width]` in [0, 1] and return as many of the same shape in [0, 1]; what becomes of
an image does not depend on the others. Kinds after Hendrycks and Dietterich 2019 (arXiv 1903.12261); the severities are
our own, between the mildest of CIFAR-10-C and the harshest of ImageNet-C, and those of blur scale with the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from anomech.errors import SettingsError

SEVERITIES = range(1, 6)

NOISE = (0.04, 0.08, 0.12, 0.18, 0.26)
"""Standard deviation."""
BLUR = (0.0125, 0.025, 0.04, 0.06, 0.09)
"""Standard deviation of the kernel, as a share of the shorter side."""
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What is added."""
CONTRAST = (0.7, 0.5, 0.35, 0.2, 0.1)
"""Share of the distance to the mean that is left."""
PIXELATE = (0.9, 0.7, 0.5, 0.35, 0.25)
"""Share of the rows and columns that are left."""
JPEG = (80, 50, 25, 15, 7)
"""Quality."""


def gaussian_noise(x: Tensor, severity: int, *, noise: Tensor) -> Tensor:
    """Images with standard normal `noise` `[..., channels, height, width]` added to the measure of the severity."""
    return (x + _at(NOISE, severity) * noise.to(x)).clamp(0, 1)


def gaussian_blur(x: Tensor, severity: int) -> Tensor:
    """Blurred images; beyond the border lies what is on it."""
    return gaussian_filter(x, _at(BLUR, severity) * min(x.shape[2:])).clamp(0, 1)


def gaussian_filter(x: Tensor, deviation: float) -> Tensor:
    """Values `[n, channels, height, width]` averaged with this standard deviation in pixels, borders continued."""
    channels, radius = x.shape[1], math.ceil(3 * deviation)
    kernel = torch.exp(-((torch.arange(-radius, radius + 1) / deviation) ** 2) / 2)
    weights = (kernel / kernel.sum()).to(x).expand(channels, 1, 1, -1)
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, weights, groups=channels), weights.mT, groups=channels)


def brightness(x: Tensor, severity: int) -> Tensor:
    """Brighter images."""
    return (x + _at(BRIGHTNESS, severity)).clamp(0, 1)


def contrast(x: Tensor, severity: int) -> Tensor:
    """Images drawn towards the mean of each channel."""
    return torch.lerp(x.mean(dim=(2, 3), keepdim=True), x, _at(CONTRAST, severity)).clamp(0, 1)


def pixelate(x: Tensor, severity: int) -> Tensor:
    """Images made smaller and large again, each pixel the mean of those that it covers."""
    height, width = (max(1, round(_at(PIXELATE, severity) * side)) for side in x.shape[2:])
    return F.interpolate(F.interpolate(x, (height, width), mode="area"), x.shape[2:], mode="area")


def jpeg(x: Tensor, severity: int) -> Tensor:
    """Images through JPEG: in colour where there are three channels, else each channel as a grey image."""
    quality = int(_at(JPEG, severity))
    pixels = (255 * x).round().to(torch.uint8).numpy(force=True)
    if x.shape[1] == 3:
        decoded = _through_jpeg(pixels.transpose(0, 2, 3, 1), quality).transpose(0, 3, 1, 2)
    else:
        decoded = _through_jpeg(pixels.reshape(-1, *x.shape[2:]), quality).reshape(x.shape)
    return torch.from_numpy(np.ascontiguousarray(decoded)).to(x) / 255


def _at(levels: Sequence[float], severity: int) -> float:
    if severity not in SEVERITIES:
        raise SettingsError(f"severity must lie between 1 and {len(levels)}, got {severity}.")
    return levels[severity - 1]


def _through_jpeg(images: NDArray[Any], quality: int) -> NDArray[Any]:
    decoded = []
    for pixels in images:
        file = BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return np.stack(decoded)
