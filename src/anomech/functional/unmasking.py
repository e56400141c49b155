"""Does an attribution rank what tells classes apart first? DiffROAR (Shah et al. 2021, arXiv 2102.12781)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from anomech.errors import DataError, SettingsError

Side = Literal["top", "bottom"]
"""The pixels of largest magnitude of attribution, or those of smallest."""


class DiffROAR(NamedTuple):
    """Predictive power of the coordinates that an attribution ranks first, less that of those it ranks last."""

    value: float
    low: float
    high: float


def rank_pixels(attribution: Tensor, *, seed: int) -> Tensor:
    """Where each pixel stands in its image by magnitude of attribution, from 0 for the smallest, int `[n, h, w]`.

    Args:
        attribution: What each pixel counts, `[n, h, w]`.
        seed: Seed of the order among pixels of the same magnitude, which differs from image to image, so that an
            attribution that tells nothing ranks at random.

    Raises:
        DataError: It has another number of dimensions, or holds NaN or infinity.
    """
    if attribution.ndim != 3:
        raise DataError(f"an attribution has one value a pixel, [n, h, w]; got shape {list(attribution.shape)}.")
    magnitude = attribution.flatten(1).abs()
    if not magnitude.isfinite().all():
        bad = int((~magnitude.isfinite()).any(1).sum())
        raise DataError(f"the attributions of {bad} of {len(magnitude)} images hold NaN or infinity.")
    noise = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed)).to(magnitude.device)
    shuffled = noise.argsort(dim=1)
    order = shuffled.gather(1, magnitude.gather(1, shuffled).argsort(dim=1, stable=True))
    places = torch.arange(order.shape[1], dtype=torch.int32, device=order.device)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, places.expand_as(order)).view_as(attribution)


def unmask(x: Tensor, ranks: Tensor, *, share: float, keep: Side) -> Tensor:
    """Images that keep the pixels of largest or smallest attribution, all others set to 0.

    Source: arXiv 2102.12781, section 3: `x^S` with S the top-k or bottom-k attribution.

    Args:
        x: Images `[n, channels, h, w]`.
        ranks: Of their pixels, as `rank_pixels` gives them, `[n, h, w]`.
        share: Share of the pixels that is kept, in (0, 1]; rounded to whole pixels, at least one.
        keep: Those of largest magnitude or of smallest.

    Raises:
        SettingsError: The share is outside (0, 1].
        DataError: The ranks are not those of pixels of the images.
    """
    if not 0 < share <= 1:
        raise SettingsError(f"the share of pixels to keep must be above 0 and at most 1; got {share:g}.")
    if x.ndim != 4 or ranks.shape != (len(x), *x.shape[2:]):
        raise DataError(
            f"images {list(x.shape)} and attributions {list(ranks.shape)} do not belong together; "
            "there must be [n, channels, h, w] and [n, h, w]."
        )
    pixels = ranks[0].numel() if len(ranks) else 0
    number = max(1, round(share * pixels))
    kept = ranks >= pixels - number if keep == "top" else ranks < number
    return x * kept[:, None]


def diff_roar(
    top: Tensor, bottom: Tensor, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> DiffROAR:
    """Accuracy on top-unmasked test images less that on bottom-unmasked ones, with a percentile bootstrap interval.

    Test images and training seeds are resampled, both, since the verdict should hold for other ones of either.

    Args:
        top: Whether each test image was classified rightly by the networks that were trained and run on top-unmasked
            images, bool `[seeds, n]`.
        bottom: The same of bottom-unmasked ones, in the same order.
        confidence: Of the interval.
        resamples: Number of bootstrap samples.
        seed: Seed of these.

    Raises:
        DataError: The two differ in shape, or are empty.
    """
    if top.shape != bottom.shape or top.ndim != 2 or top.numel() == 0:
        raise DataError(
            f"DiffROAR compares two tables [seeds, n] of the same shape that are not empty; got {list(top.shape)} and "
            f"{list(bottom.shape)}."
        )
    difference = top.double() - bottom.double()
    low, high = two_way_interval(difference, confidence=confidence, resamples=resamples, seed=seed)
    return DiffROAR(float(difference.mean()), low, high)


def two_way_interval(
    values: Tensor, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of values `[seeds, n]`, rows and columns resampled independently.

    Source: Owen 2007, "The pigeonhole bootstrap", arXiv 0712.1111.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (_weights(number, resamples, generator) for number in values.shape)
    means = (rows @ values.double() * columns).sum(1)
    tails = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = means.quantile(tails).tolist()
    return low, high


def _weights(number: int, resamples: int, generator: torch.Generator) -> Tensor:
    """How often each of `number` is in each bootstrap sample, as a share of it, `[resamples, number]`."""
    drawn = torch.randint(number, (resamples, number), generator=generator)
    ones = torch.ones_like(drawn, dtype=torch.float64)
    return torch.zeros(resamples, number, dtype=torch.float64).scatter_add_(1, drawn, ones) / number
