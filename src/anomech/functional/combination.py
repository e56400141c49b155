"""One score from the p-values of several detectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anomech.functional.tails import tail_units, tail_units_of_others


def harmonic_mean_p(p: Tensor) -> Tensor:
    """Harmonic mean `[m]` of p-values `[k, m]` (Wilson 2019, doi 10.1073/pnas.1814092116).

    Ruled by the smallest, so that one detector that sees something is enough, and insensitive to how they depend on one
    another. It is about a p-value itself; where the rate has to be exact, compare it with that of trusted examples.
    """
    return len(p) / p.reciprocal().sum(dim=0)


def smooth_p_values(calibration: Tensor, scores: Tensor) -> Tensor:
    """Conformal p-values that also fall between the calibration scores and, a little, beyond.

    Conformal p-values are the same for all scores between two of the calibration, and for all above the highest. These
    order them. However far beyond a score lies, its p-value is at least 1 / e of that of the highest: what is not drawn
    as the trusted examples are is often far out for one detector, which would overrule those that still tell it apart.

    Args:
        calibration: Scores of the n trusted examples, `[n]`.
        scores: `[m]`.

    Returns:
        Float64 `[m]` in (0, 1]: conformal at the calibration scores, log-linear between them.
    """
    values, _, at_least = _steps(calibration)
    logarithms = ((1 + at_least) / (len(calibration) + 1)).log()
    between = torch.from_numpy(np.interp(scores.double().numpy(), values.numpy(), logarithms.numpy()))
    _, unit = tail_units(calibration[None])
    return torch.exp(between - _bounded((scores.double() - values[-1]) / unit[0].double()))


def left_out_smooth_p_values(calibration: Tensor) -> Tensor:
    """The same of each of the n trusted examples among the others, float64 `[n]`."""
    values, places, at_least = _steps(calibration)
    n = len(calibration)
    if len(values) == 1:
        return torch.ones(n, dtype=torch.float64)
    shares = (values[1:-1] - values[:-2]) / (values[2:] - values[:-2])
    between = torch.lerp((at_least[:-2] / n).log(), ((1 + at_least[2:]) / n).log(), shares)
    alone = torch.cat([between.new_zeros(1), between, (at_least[-2:-1] / n).log()])
    tied = torch.bincount(places) > 1
    logarithms = torch.where(tied, (at_least / n).log(), alone)[places]
    highest_other = torch.where(tied[-1], values[-1], values[-2])
    _, units = tail_units_of_others(calibration[None])
    return torch.exp(logarithms - _bounded((calibration.double() - highest_other) / units[0].double()))


def _steps(calibration: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct scores, ascending; which of them each score is; and how many scores are at least as high as each."""
    values, places, counts = calibration.double().unique(return_inverse=True, return_counts=True)
    return values, places, counts.double().flip(0).cumsum(0).flip(0)


def _bounded(units: Tensor) -> Tensor:
    """From 0 to 1, the order kept; 0 for what is not beyond."""
    beyond = units.clamp_min(0)
    return beyond / (1 + beyond)
