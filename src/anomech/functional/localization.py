"""Does an attribution point at a place, and at the right one?

Values are `[m, *places]`, such as `[m, height, width]`, higher where more of a number comes from; masks are bool of the
same shape. Where places are ranked, ties go to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def top_places(values: Tensor, share: float, *, among: Tensor | None = None, fewest: int = 1) -> Tensor:
    """The highest places of each input, bool `[m, *places]`.

    Args:
        values: `[m, *places]`.
        share: Share of the places that these are.
        among: Places that count, bool `[m, *places]`; by default all.
        fewest: How many they are at least, where so many count.
    """
    counted = torch.ones_like(values, dtype=torch.bool) if among is None else among
    numbers = (share * counted.flatten(1).sum(dim=1)).round().clamp_min(fewest)
    order = values.masked_fill(~counted, -torch.inf).flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = order.argsort(dim=1)
    return (ranks < numbers[:, None]).view_as(counted) & counted


def concentration(values: Tensor, share: float) -> Tensor:
    """How much of what is positive lies in the highest places, that share of all, `[m]` in [0, 1]; 0 where nothing is.

    Of one value everywhere it is the share itself.
    """
    return energy_in_mask(values, top_places(values, share))


def energy_in_mask(values: Tensor, mask: Tensor) -> Tensor:
    """How much of what is positive lies in the mask, `[m]` in [0, 1]; 0 where nothing is positive.

    Source: the energy-based pointing game of Score-CAM (Wang et al. 2020, arXiv 1910.01279).
    """
    positive = values.clamp_min(0).flatten(1)
    total = positive.sum(dim=1)
    inside = (positive * mask.flatten(1)).sum(dim=1)
    return torch.where(total > 0, inside / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)


def overlap(values: Tensor, mask: Tensor) -> Tensor:
    """Intersection over union of the mask and as many highest places as it has, `[m]` in [0, 1]."""
    return torch.stack([_overlap(one, places) for one, places in zip(values, mask, strict=True)])


def points_at_centre(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """Whether the centre of the mask is among the highest places, that share of all, bool `[m]`.

    The centre is the mean of the coordinates of the mask; where it falls between places, any of those beside it counts.
    """
    return (top_places(values, share) & centres(mask)).flatten(1).any(dim=1)


def is_centred_on(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """Whether the centre of the mask is among the places nearest the values' own, that share of all, bool `[m]`.

    Both are centres of mass, so a mark of many pieces, whose centre may be none of them, can be compared. False where
    nothing is positive.
    """
    distances = _from_centre(values).square().sum(dim=2).view(values.shape)
    return points_at_centre(-distances, mask, share) & ~distances.isnan().flatten(1).any(dim=1)


def centre_of_mass(values: Tensor) -> Tensor:
    """Mean coordinates of what is positive, `[m, k]` where there are k of a place; NaN where nothing is."""
    positive = values.double().clamp_min(0).flatten(1)
    return positive @ _coordinates(values[0]) / positive.sum(dim=1, keepdim=True)


def density(places: Tensor, reach: float) -> Tensor:
    """Sum of Gaussians, one about each of some places of a plane.

    Source: Parzen 1962, On estimation of a probability density function and mode, Eq. 1.1, not normalised.

    Args:
        places: Bool `[m, height, width]`.
        reach: Standard deviation of each, as a share of the shorter side.

    Returns:
        `[m, height, width]`, float64.
    """
    deviation = reach * min(places.shape[1:])
    rows, columns = (_gaussians(side, deviation) for side in places.shape[1:])
    return rows @ places.double() @ columns


def precision(values: Tensor, mask: Tensor, share: float) -> Tensor:
    """Share of the highest places, that share of all, that lie in the mask, `[m]` in [0, 1]."""
    highest = top_places(values, share).flatten(1)
    return (highest & mask.flatten(1)).sum(dim=1) / highest.sum(dim=1)


def centres(mask: Tensor) -> Tensor:
    """The places at, or where it falls between them beside, the mean of the coordinates of each mask."""
    # An even number of places has its centre between two; half a place further off is rounding.
    return (_from_centre(mask).abs() <= 0.5 + 1e-6).all(dim=2).view(mask.shape)


def removal_curve(
    values: Tensor, shares: Sequence[float], measure: Callable[[Tensor], Tensor], *, inserted: bool = False
) -> Tensor:
    """What is measured while more and more of the highest places are hidden, `[m, len(shares)]`.

    Source: insertion and deletion of RISE (Petsiuk et al. 2018, arXiv 1806.07421).

    Args:
        values: Attributions `[m, *places]`.
        shares: Shares of the places, ascending in [0, 1].
        measure: From the places that are hidden, bool `[m, *places]`, to a number of each input, `[m]`.
        inserted: Hide all but the highest places instead.
    """
    hidden = [_shown(values, share) for share in shares]
    return torch.stack([measure(~places if inserted else places) for places in hidden], dim=1)


def area_under(curve: Tensor, shares: Sequence[float]) -> Tensor:
    """Mean height `[m]` of curves `[m, k]` over the shares at which they were measured."""
    at = torch.tensor(list(shares), dtype=curve.dtype)
    area: Tensor = torch.trapezoid(curve, at, dim=1) / (at[-1] - at[0])
    return area


def _from_centre(values: Tensor) -> Tensor:
    """Coordinates of every place, from the centre of mass of each input, `[m, places, k]`; NaN where it has none."""
    return _coordinates(values[0]) - centre_of_mass(values)[:, None]


def _coordinates(one: Tensor) -> Tensor:
    """Of every place of an input, `[places, k]`."""
    return torch.ones_like(one).nonzero().double()


def _gaussians(side: int, deviation: float) -> Tensor:
    """About each of so many coordinates, at each of them, `[side, side]`."""
    at = torch.arange(side, dtype=torch.float64)
    return torch.exp(-(at[:, None] - at).square() / (2 * deviation**2))


def _shown(values: Tensor, share: float) -> Tensor:
    return top_places(values, share) if share > 0 else torch.zeros_like(values, dtype=torch.bool)


def _overlap(values: Tensor, mask: Tensor) -> Tensor:
    if not mask.any():
        return values.new_zeros(())
    highest = top_places(values[None], float(mask.double().mean()))[0]
    return (highest & mask).sum() / (highest | mask).sum()
