"""The layer profile of an input as a plot that is small enough for a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, groupby

WIDTH, HEIGHT = 240, 44
MARGIN = 3
LOWEST = 2.0
"""Highest value of the smallest scale, so that what is usual does not look like a peak."""
MOST = 60
"""Points that a line of this width can show; with more layers than that, those of a block are one, its most unusual."""


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
    worst = max(range(len(layers)), key=lambda i: before[i])
    above = sum(value > 1 for value in before)
    lines = [before, after] if after else [before]
    if len(layers) > MOST:
        lines = [_by_block(layers, line) for line in lines]
    top = max(LOWEST, *chain.from_iterable(lines))
    drawn = [_points(line, top) for line in lines]
    return Profile(
        before=drawn[0],
        after=drawn[1] if after else "",
        usual=round(_height(1.0, top), 1),
        spoken=f"Unusual in {above} of {len(layers)} layers, most in {layers[worst]}",
    )


def _by_block(layers: Sequence[str], values: Sequence[float]) -> list[float]:
    """Highest of neighbours whose names agree up to the first number, which counts blocks."""
    neighbours = groupby(zip(layers, values, strict=True), key=lambda pair: _block(pair[0]))
    return [max(value for _, value in members) for _, members in neighbours]


def _block(layer: str) -> tuple[str, ...]:
    parts = layer.split(".")
    numbers = (i for i, part in enumerate(parts) if part.isdigit())
    return tuple(parts[: next(numbers, len(parts)) + 1])


def _points(values: Sequence[float], top: float) -> str:
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    return " ".join(f"{MARGIN + i * step:.1f},{_height(value, top):.1f}" for i, value in enumerate(values))


def _height(value: float, top: float) -> float:
    """From the top; below 0, the median of trusted examples, all lie at the bottom."""
    return HEIGHT - MARGIN - max(0.0, value) / top * (HEIGHT - 2 * MARGIN)
