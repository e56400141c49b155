"""Numbers as a reader wants them: a true minus sign, as many decimals as they bear."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

MISSING = "–"


def fixed(value: float, decimals: int) -> str:
    """With thousands separators, a true minus sign, and no minus before zero."""
    return f"{value:z,.{decimals}f}".replace("-", "−")


def known(value: Any, decimals: int, *, scale: float = 1.0, unit: str = "") -> str:
    """`value * scale` with its unit, or a dash where it is missing."""
    if value is None or math.isnan(value):
        return MISSING
    return fixed(value * scale, decimals) + unit


def score_decimals(scores: Tensor) -> int:
    """Decimals that show the largest of the scores with four digits."""
    largest = float(scores.abs().max())
    return min(max(3 - math.floor(math.log10(largest)), 0), 8) if largest > 0 else 0


def p_value_decimals(trusted: int) -> int:
    """Decimals that show the smallest p-value that so many trusted examples allow."""
    return max(math.ceil(math.log10(trusted + 1)), 2)
