"""Which known model is this one derived from? Fingerprints of gradients, after TensorGuard (arXiv 2506.01631)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomech.diffing.weights import model_tensors
from anomech.errors import DataError, ModelError
from anomech.functional.gradient_statistics import PERTURBATIONS, STATISTICS, layer_statistics
from anomech.functional.weight_difference import as_matrix

DRAWS = 32
"""Random inputs a layer."""
DEPTHS = 8
"""Parts of equal length that the profile over the layers is averaged in."""
LENGTH = DRAWS * len(PERTURBATIONS) * len(STATISTICS) * DEPTHS


@dataclass(frozen=True, kw_only=True)
class Identification:
    """Which known base a model is derived from.

    Attributes:
        base: Its name; None where even the nearest is too far.
        distances: To the centroid of each base, the nearest first.
        threshold: Distance from which on a base is unknown.
    """

    base: str | None
    distances: dict[str, float]
    threshold: float


def fingerprint(model: nn.Module, *, seed: int = 0) -> Tensor:
    """Statistics of the gradients of every layer under perturbations of random inputs, averaged in parts of the depth.

    Every layer is taken by itself, and layers of one width see the same inputs; models of any architecture have
    fingerprints of one length. The paper averages over the inputs. Here each stays apart, since it is what a layer
    does with one input that tells it from another of its architecture.

    Args:
        model: Its matrices, embeddings and convolutions are looked at; it is not run.
        seed: Seed of the inputs; only fingerprints of one seed can be compared.

    Returns:
        float64 `[LENGTH]`: `[DRAWS, PERTURBATIONS, STATISTICS, DEPTHS]`, flattened.

    Raises:
        ModelError: There is no matrix, or one holds NaN or infinite weights.
    """
    matrices = {name: tensor for name, tensor in model_tensors(model).items() if tensor.ndim > 1 and tensor.numel()}
    if not matrices:
        raise ModelError(f"this {type(model).__name__} has no matrix to take a fingerprint of; give a whole model.")
    spoilt = [name for name, tensor in matrices.items() if not bool(torch.isfinite(tensor).all())]
    if spoilt:
        raise ModelError(f"{spoilt[0]!r} holds NaN or infinite weights; fetch or train the model again.")
    profile = torch.stack([_statistics(as_matrix(tensor.cpu()), seed) for tensor in matrices.values()])
    return F.adaptive_avg_pool1d(profile.T[None], DEPTHS).flatten()


def identify(found: Tensor, known: Mapping[str, Sequence[Tensor]]) -> Identification:
    """The known base whose centroid is nearest, if it is near enough.

    Statistics are standardised over all known fingerprints. The threshold lies in the (geometric) middle between how
    far known models are from their own base when they are left out, and how far from another when all of it is; but
    no nearer than half the way to another, since known copies may be closer to their base than others will be.

    Args:
        found: A fingerprint `[LENGTH]`, or its mean over the draws.
        known: Fingerprints of each base and of models derived from it, such as a quantised or fine-tuned copy.

    Raises:
        DataError: There are no two bases, none with two fingerprints, or the known ones lie as far from their own base
            as from others.
    """
    if len(known) < 2 or max(map(len, known.values())) < 2 or min(map(len, known.values())) < 1:
        raise DataError(
            "too few known models to tell near from far; give at least two bases, one of them with a derived model."
        )
    scale = _scale(torch.stack([one for members in known.values() for one in members]))
    families = {name: torch.stack(list(members)) / scale for name, members in known.items()}
    threshold = _threshold(families)
    distances = _distances(found / scale, families)
    nearest = next(iter(distances))
    return Identification(
        base=nearest if distances[nearest] <= threshold else None, distances=distances, threshold=threshold
    )


def _statistics(weights: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    inputs, noise = torch.randn(2, DRAWS, weights.shape[1], generator=generator, dtype=torch.float64)
    return layer_statistics(weights, inputs, noise).flatten()


def _scale(known: Tensor) -> Tensor:
    """Standard deviation `[LENGTH]` of each statistic, in the mean over draws, perturbations and depths.

    That of a single feature would be too uncertain: where a few known models agree by chance, it is next to nothing.
    """
    variance = known.var(0).view(-1, len(STATISTICS), DEPTHS)
    scale = variance.mean((0, 2), keepdim=True).sqrt().expand_as(variance).flatten()
    return scale.where(scale > 0, math.inf)


def _distances(one: Tensor, families: Mapping[str, Tensor]) -> dict[str, float]:
    """Distance to the centroid of each family, the nearest first."""
    found = {name: float((one - members.mean(0)).norm()) for name, members in families.items()}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _threshold(families: Mapping[str, Tensor]) -> float:
    own, foreign = 0.0, math.inf
    for name, members in families.items():
        others = torch.stack([rows.mean(0) for other, rows in families.items() if other != name])
        foreign = min(foreign, float((members[:, None] - others).norm(dim=-1).min()))
        if len(members) > 1:
            rest = (members.sum(0) - members) / (len(members) - 1)
            own = max(own, float((members - rest).norm(dim=-1).max()))
    if not 0 < own < foreign:
        raise DataError(
            f"known models lie up to {own:.3g} from the rest of their own base and at least {foreign:.3g} from others; "
            "leave out copies, and models that are named after the wrong base or hardly resemble it any more."
        )
    return max(math.sqrt(own * foreign), foreign / 2)
