"""Did the chains do their work? A failed chain yields no scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from anomech.errors import ChainError
from anomech.functional.chains import effective_sample_size, split_r_hat

LARGEST_R_HAT = 1.2
SMALLEST_SAMPLE = 25.0
STILL = 1e-5
"""Share of its mean that the loss of a typical example must at least vary by."""


@dataclass(frozen=True, kw_only=True)
class ChainHealth:
    """Health of a set of chains, read from the loss traces of the trusted examples.

    Attributes:
        chains: Number of chains.
        draws: Draws of each.
        start_loss: Mean loss at the trained weights.
        mean_loss: Mean loss over all draws.
        chance_loss: Loss of a model that knows nothing; infinite where the task has no such figure.
        effective_draws: Effective sample size of the mean loss.
        r_hat: Split R-hat of the mean loss; 1 where the chains agree.
        mean_loss_by_draw: Mean loss at each draw of each chain, for plotting.
    """

    chains: int
    draws: int
    start_loss: float
    mean_loss: float
    chance_loss: float
    effective_draws: float
    r_hat: float
    mean_loss_by_draw: tuple[tuple[float, ...], ...]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The health that was written to JSON as a mapping of its attributes."""
        return cls(**{**plain, "mean_loss_by_draw": tuple(map(tuple, plain["mean_loss_by_draw"]))})

    @property
    def warnings(self) -> list[str]:
        """What a careful reader should know, each with what to do."""
        found = []
        if self.mean_loss > self.chance_loss / 2:
            found.append(
                f"The draws raise the mean loss from {self.start_loss:.3g} to {self.mean_loss:.3g}, more than half of "
                f"chance ({self.chance_loss:.3g}): they hardly resemble the model. Raise gamma (or lower sigma)."
            )
        if self.r_hat > LARGEST_R_HAT:
            found.append(f"R-hat is {self.r_hat:.2f}: the chains have not mixed. Raise burn_in, draws or thin.")
        if self.effective_draws < SMALLEST_SAMPLE:
            found.append(f"Only {self.effective_draws:.0f} effective draws. Raise draws or thin.")
        return found


def chain_health(traces: Tensor, start: Tensor, *, chains: int, chance_loss: float) -> ChainHealth:
    """Health of chains from loss traces `[n, chains * draws]` and losses at the trained weights `[n]`.

    Raises:
        ChainError: NaN or infinite losses, or draws no better than chance.
    """
    by_draw = traces.double().mean(dim=0).view(chains, -1)
    health = ChainHealth(
        chains=chains,
        draws=by_draw.shape[1],
        start_loss=float(start.double().mean()),
        mean_loss=float(by_draw.mean()),
        chance_loss=chance_loss,
        effective_draws=effective_sample_size(by_draw),
        r_hat=split_r_hat(by_draw),
        mean_loss_by_draw=tuple(tuple(chain) for chain in by_draw.tolist()),
    )
    if not math.isfinite(health.mean_loss):
        raise ChainError(
            "the sampled models give NaN or infinite losses; lower step_size, or raise gamma (or lower sigma)."
        )
    exact = traces.double()
    if float((exact.std(dim=1) / exact.mean(dim=1).abs().clamp_min(torch.finfo(torch.float64).tiny)).median()) <= STILL:
        raise ChainError(
            "the sampled models hardly differ from the trained one, so their losses say nothing; "
            "raise step_size or draws, or lower gamma (or raise sigma)."
        )
    if health.mean_loss >= chance_loss:
        raise ChainError(
            f"the sampled models are no better than chance (mean loss {health.mean_loss:.3g}, chance "
            f"{chance_loss:.3g}, {health.start_loss:.3g} before); raise gamma (or lower sigma), or lower step_size."
        )
    return health
