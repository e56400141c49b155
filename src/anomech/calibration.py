"""From scores to p-values and flags, by the scores of trusted examples alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from anomech.errors import SettingsError
from anomech.functional.conformal import false_discovery, p_values, rank_at


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """What the user accepts.

    Attributes:
        fpr: Share of clean inputs that may be flagged.
        fdr: Share of the flags of one batch that may be false; where given, it decides in place of `fpr`.
    """

    fpr: float = 0.01
    fdr: float | None = None

    def __post_init__(self) -> None:
        for name, rate in (("fpr", self.fpr), ("fdr", self.fdr)):
            if rate is not None and not 0 < rate < 1:
                raise SettingsError(f"{name} must lie between 0 and 1, got {rate}.")

    def judge(self, trusted_scores: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """P-values `[m]` and flags, bool `[m]`."""
        p = p_values(trusted_scores, scores)
        return p, false_discovery(p, self.fdr) if self.fdr is not None else p <= self.fpr + 1e-9

    def shortfall(self, n: int) -> str | None:
        """What to tell a user whose n calibration scores are too few for the accepted rate; None if they suffice."""
        rate, kind = (self.fpr, "false-positive") if self.fdr is None else (self.fdr, "false-discovery")
        if rank_at(rate, n) > 0:
            return None
        return (
            f"{n} trusted examples cannot support a {kind} rate of {rate:.3g}: the smallest possible "
            f"p-value is 1/{n + 1} = {1 / (n + 1):.3g}, so nothing can be flagged. Give at least "
            f"{math.ceil(1 / rate - 1e-9) - 1} trusted examples to calibrate on, or accept a rate of {1 / (n + 1):.3g}."
        )
