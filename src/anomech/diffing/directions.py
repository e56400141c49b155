"""Does a difference of weights lie where the trusted loss is sharp, or where it is flat?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from anomech.errors import SettingsError
from anomech.gradients.sharp import SharpDirections


@dataclass(frozen=True, kw_only=True)
class SharpShare:
    """How much of a difference's energy (squared norm) lies in the sharpest directions of a loss.

    Attributes:
        eigenvalues: Of the Hessian of the loss, the largest first.
        shares: Share of the energy within the first direction, the first two, and so on.
        random: The same, in the mean, of a random direction.
        matched: The same of a random direction that has the difference's norm in every tensor.
    """

    eigenvalues: tuple[float, ...]
    shares: tuple[float, ...]
    random: tuple[float, ...]
    matched: tuple[float, ...]

    def plain(self) -> dict[str, list[float]]:
        """As JSON takes it."""
        return {f.name: list(getattr(self, f.name)) for f in fields(self)}

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        share, matched, random = (f"{100 * v[-1]:.3g} %" for v in (self.shares, self.matched, self.random))
        return (
            f"{share} of the difference's energy lies in the {len(self.shares)} sharpest directions of the trusted "
            f"loss; of a random direction it would be {random}, and {matched} of one that moves every tensor as far."
        )


def sharp_share(sharp: SharpDirections, model: nn.Module, differences: Mapping[str, Tensor]) -> SharpShare:
    """Share of a difference in the top eigenvectors of the Hessian of the mean loss on trusted examples.

    That Hessian is a bulk near zero and a few outliers; weights that implement a backdoor were found to differ from
    clean ones within the bulk (arXiv 2604.18970, figure 4).

    Args:
        sharp: The eigenvectors.
        model: The model at whose weights they are.
        differences: What was added to its parameters, or taken from them, by name; a missing one was not changed.

    Raises:
        SettingsError: The difference is zero or is none of parameters.
    """
    pieces = [differences.get(name, torch.zeros(p.shape)).detach().cpu() for name, p in model.named_parameters()]
    difference = torch.cat([piece.double().flatten() for piece in pieces])[None]
    energies = sharp.energies(difference)
    energy = energies.sum()
    if not energy:
        raise SettingsError(
            "no parameter was changed, so the difference lies in no direction of the loss; give models that differ."
        )
    count = len(sharp.eigenvalues)
    return SharpShare(
        eigenvalues=tuple(sharp.eigenvalues.tolist()),
        shares=tuple((sharp.along(difference)[0].square().cumsum(0) / energy).tolist()),
        random=tuple((torch.arange(1, count + 1) / difference.shape[1]).tolist()),
        matched=tuple((sharp.matched(energies)[0].cumsum(0) / energy).tolist()),
    )
