"""Images of which half is known to tell nothing: BlockMNIST (Shah et al. 2021, arXiv 2102.12781, section 5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anomech.errors import DataError

SQUARE = 3
"""The null block shows a square of a third of its side, in its middle."""


class BlockImages(NamedTuple):
    """A signal block and a null block, one above the other."""

    x: Tensor
    """Images `[n, channels, 2h, w]`."""
    null: Tensor
    """Which pixels are those of the null block, bool `[n, 2h, w]`."""


def block_images(signal: Tensor, *, signal_on_top: Tensor) -> BlockImages:
    """Images `[n, channels, h, w]` with the same null block, a white square on black, below or above each.

    Args:
        signal: The images.
        signal_on_top: Whether each image is above its null block, bool `[n]`.

    Raises:
        DataError: There is not one position an image.
    """
    n, channels, height, width = signal.shape
    if signal_on_top.shape != (n,):
        raise DataError(f"{n} images need as many positions; got {list(signal_on_top.shape)}.")
    nothing = torch.zeros(n, channels, height, width, dtype=signal.dtype)
    rows, columns = (slice(size // SQUARE, size - size // SQUARE) for size in (height, width))
    nothing[:, :, rows, columns] = 1
    up = signal_on_top[:, None, None, None]
    x = torch.cat([torch.where(up, signal, nothing), torch.where(up, nothing, signal)], dim=2)
    below = torch.arange(2 * height) >= height
    null = (below == signal_on_top[:, None])[:, :, None].expand(n, 2 * height, width)
    return BlockImages(x, null)


def leakage(attribution: Tensor, null: Tensor) -> Tensor:
    """Share of an attribution's energy, the sum of its squares, that lies on the null block, `[n]`.

    One that spreads evenly over both blocks has 0.5, as has one that is 0 everywhere, and one that sees the signal
    alone 0.

    Args:
        attribution: What each pixel counts, `[n, h, w]`.
        null: Which pixels are those of the null block, bool `[n, h, w]`.

    Raises:
        DataError: The two differ in shape, or the attribution holds NaN.
    """
    if attribution.shape != null.shape or not attribution.isfinite().all():
        raise DataError(
            f"leakage takes finite attributions of the shape of the null blocks, {list(null.shape)}; got "
            f"{list(attribution.shape)}, {int((~attribution.isfinite()).sum())} values of them NaN or infinite."
        )
    energy = attribution.double() ** 2
    on_null, total = (energy * null).sum((1, 2)), energy.sum((1, 2))
    return torch.where(total > 0, on_null / total, 0.5)
