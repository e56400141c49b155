"""Which inputs the model answers by one mechanism: clusters of their gradients, and a map of them.

UMAP (McInnes, Healy and Melville 2018, arXiv 1802.03426) lays inputs out by how their gradients are coupled to one
another; HDBSCAN (Campello, Moulavi and Sander 2013) finds the clusters in that map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.cluster import HDBSCAN
from torch import Tensor

from anomech.auditor import Auditor
from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.features import Features, GradientSketch
from anomech.functional.directions import directions
from anomech.functional.layout import lay_out, require_umap

SMALLEST = 20
"""Inputs that make a cluster; chosen on development data."""
MOST = 2000
"""Inputs on a map."""
TYPICAL = 3
NONE = -1
"""Cluster of an input that is in none."""


@dataclass(frozen=True)
class Mechanisms:
    """Clusters of m inputs.

    Attributes:
        positions: Which of all inputs they are, int64 `[m]`.
        places: Where each input lies on the map, float `[m, 2]`.
        clusters: Cluster of each, int64 `[m]`, from 0, the largest; `NONE` for an input that is in none.
        typical: Positions among all inputs of each cluster's most typical ones, those that are coupled most to the
            rest of it.
    """

    positions: Tensor
    places: Tensor
    clusters: Tensor
    typical: tuple[tuple[int, ...], ...]


def map_mechanisms(auditor: Auditor, inputs: Examples, flagged: Tensor) -> Mechanisms:
    """Clusters of the flagged inputs, and of as many others as the map has room for.

    Args:
        auditor: Fitted; its features are gradients, which are taken once more.
        inputs: What it judged.
        flagged: Which of them it flagged, bool `[n]`.

    Raises:
        SettingsError: The auditor's features are no gradients, or umap-learn is not installed.
        DataError: There are too few inputs for clusters.
    """
    if not isinstance(auditor.detector.features, GradientSketch):
        raise SettingsError("a map of mechanisms is made of gradients; choose the detector gradient or coupling.")
    positions = _on_the_map(flagged)
    return find_mechanisms(auditor.extract(inputs[positions]), positions=positions, seed=auditor.seed)


def find_mechanisms(features: Features, *, positions: Tensor | None = None, seed: int = 0) -> Mechanisms:
    """Clusters of inputs by their gradients.

    Args:
        features: Gradients by layer of m inputs; couplings take memory of the order of m squared.
        positions: Which of all inputs they are, int64 `[m]`; by default all.
        seed: Seed of the map.

    Raises:
        DataError: There are too few inputs for clusters.
        SettingsError: umap-learn is not installed.
    """
    require_umap()
    if len(features) < 2 * SMALLEST:
        raise DataError(f"{len(features)} inputs make no map of mechanisms; give at least {2 * SMALLEST}.")
    coupling = mutual_coupling(features)
    distance = (1 - coupling).clamp_min(0).fill_diagonal_(0)
    places = lay_out(distance, seed=seed, metric="precomputed", spacing=0.0)
    found = torch.from_numpy(HDBSCAN(min_cluster_size=SMALLEST, copy=True).fit_predict(places.numpy())).long()
    clusters = _largest_first(found)
    positions = torch.arange(len(features)) if positions is None else positions
    members = [(clusters == cluster).nonzero().flatten() for cluster in range(int(clusters.max()) + 1)]
    typical = tuple(tuple(positions[_most_typical(coupling, rows)].tolist()) for rows in members)
    return Mechanisms(positions, places, clusters, typical)


def mutual_coupling(features: Features) -> Tensor:
    """Cosines of the gradients of m inputs with one another, averaged over the layers, `[m, m]`."""
    total = torch.zeros(len(features), len(features))
    for gradients in features.layers.values():
        rows, _ = directions(gradients)
        total.addmm_(rows, rows.T)
    return total / len(features.layers)


def _largest_first(clusters: Tensor) -> Tensor:
    """The same clusters, numbered by their size."""
    numbers, sizes = clusters[clusters != NONE].unique(return_counts=True)
    renumbered = torch.full_like(clusters, NONE)
    for new, old in enumerate(numbers[sizes.argsort(descending=True, stable=True)]):
        renumbered[clusters == old] = new
    return renumbered


def _most_typical(coupling: Tensor, members: Tensor) -> Tensor:
    mean = coupling[members][:, members].mean(dim=1)
    return members[mean.topk(min(TYPICAL, len(members))).indices]


def _on_the_map(flagged: Tensor) -> Tensor:
    """Positions of at most `MOST` inputs, ascending: flagged ones first, others from all over."""
    chosen, others = (_spread(mask.nonzero().flatten(), MOST) for mask in (flagged, ~flagged))
    return torch.cat([chosen, _spread(others, MOST - len(chosen))]).sort().values


def _spread(positions: Tensor, count: int) -> Tensor:
    if len(positions) <= count:
        return positions
    return positions[torch.linspace(0, len(positions) - 1, count).long()]
