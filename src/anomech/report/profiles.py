"""The layer profile of an input as a plot that is small enough for a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240, 44
MARGIN = 3
LOWEST = 2.0
"""Highest value of the smallest scale, so that what is usual does not look like a peak."""


@dataclass(frozen=True)
class Profile:
    """How unusual an input is in each layer, as points of an SVG of `WIDTH` x `HEIGHT`.

    Attributes:
        before: Of the input.
        after: Of the input without what its anomaly rests on; empty where that is not known.
        usual: Height below which trusted examples lie.
        spoken: The same in words.
    """

    before: str
    after: str
    usual: float
    spoken: str


def profile(layers: Sequence[str], before: Sequence[float], after: Sequence[float] | None) -> Profile:
    """The profile of values by layer; 1 is as unusual as the most unusual twentieth of trusted examples."""
    top = max(LOWEST, *before, *(after or ()))
    worst = max(range(len(layers)), key=lambda i: before[i])
    above = sum(value > 1 for value in before)
    return Profile(
        before=_points(before, top),
        after=_points(after, top) if after else "",
        usual=round(_height(1.0, top), 1),
        spoken=f"Unusual in {above} of {len(layers)} layers, most in {layers[worst]}",
    )


def _points(values: Sequence[float], top: float) -> str:
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    return " ".join(f"{MARGIN + i * step:.1f},{_height(value, top):.1f}" for i, value in enumerate(values))


def _height(value: float, top: float) -> float:
    """From the top; below 0, the median of trusted examples, all lie at the bottom."""
    return HEIGHT - MARGIN - max(0.0, value) / top * (HEIGHT - 2 * MARGIN)
