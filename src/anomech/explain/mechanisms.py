"""Which inputs the model answers by one mechanism: clusters of their gradients, and a map of them.

UMAP (McInnes, Healy and Melville 2018, arXiv 1802.03426) lays inputs out by how their gradients are coupled to one
another; HDBSCAN (Campello, Moulavi and Sander 2013) finds the clusters in that map.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from sklearn.cluster import HDBSCAN
from torch import Tensor

from anomech.errors import DataError, SettingsError
from anomech.features import Features
from anomech.functional.directions import directions

NEIGHBOURS = 15
"""Of an input in the graph that is laid out; UMAP's default."""
SMALLEST = 20
"""Inputs that make a cluster; chosen on development data."""
TYPICAL = 5
NONE = -1
"""Cluster of an input that is in none."""


@dataclass(frozen=True)
class Mechanisms:
    """Clusters of m inputs.

    Attributes:
        places: Where each input lies on the map, float `[m, 2]`.
        clusters: Cluster of each, int64 `[m]`, from 0, the largest; `NONE` for an input that is in none.
        typical: Positions of each cluster's most typical inputs, those that are coupled most to the rest of it.
    """

    places: Tensor
    clusters: Tensor
    typical: tuple[tuple[int, ...], ...]


def find_mechanisms(features: Features, *, seed: int = 0) -> Mechanisms:
    """Clusters of inputs by their gradients.

    Args:
        features: Gradients by layer of m inputs; couplings take memory of the order of m squared.
        seed: Seed of the map.

    Raises:
        DataError: There are too few inputs for clusters.
        SettingsError: umap-learn is not installed.
    """
    if find_spec("umap") is None:
        raise SettingsError('a map of mechanisms needs umap-learn; pip install "anomech[umap]".')
    if len(features) < 2 * SMALLEST:
        raise DataError(f"{len(features)} inputs make no map of mechanisms; give at least {2 * SMALLEST}.")
    coupling = mutual_coupling(features)
    places = _lay_out(coupling, seed)
    found = torch.from_numpy(HDBSCAN(min_cluster_size=SMALLEST, copy=True).fit_predict(places.numpy())).long()
    clusters = _largest_first(found)
    members = [(clusters == cluster).nonzero().flatten() for cluster in range(int(clusters.max()) + 1)]
    return Mechanisms(places, clusters, tuple(_most_typical(coupling, positions) for positions in members))


def mutual_coupling(features: Features) -> Tensor:
    """Cosines of the gradients of m inputs with one another, averaged over the layers, `[m, m]`."""
    total = torch.zeros(len(features), len(features))
    for gradients in features.layers.values():
        rows, _ = directions(gradients)
        total.addmm_(rows, rows.T)
    return total / len(features.layers)


def _lay_out(coupling: Tensor, seed: int) -> Tensor:
    from umap import UMAP

    distance = (1 - coupling).clamp_min(0).fill_diagonal_(0)
    umap = UMAP(metric="precomputed", n_neighbors=NEIGHBOURS, min_dist=0.0, random_state=seed, n_jobs=1)
    with warnings.catch_warnings():
        # It warns that no inputs can be added to a map of given distances, which nobody asks for.
        warnings.simplefilter("ignore")
        return torch.from_numpy(umap.fit_transform(distance.numpy())).double()


def _largest_first(clusters: Tensor) -> Tensor:
    """The same clusters, numbered by their size."""
    numbers, sizes = clusters[clusters != NONE].unique(return_counts=True)
    renumbered = torch.full_like(clusters, NONE)
    for new, old in enumerate(numbers[sizes.argsort(descending=True, stable=True)]):
        renumbered[clusters == old] = new
    return renumbered


def _most_typical(coupling: Tensor, members: Tensor) -> tuple[int, ...]:
    mean = coupling[members][:, members].mean(dim=1)
    return tuple(members[mean.topk(min(TYPICAL, len(members))).indices].tolist())
