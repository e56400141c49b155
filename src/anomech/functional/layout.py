"""Maps in the plane by UMAP (McInnes, Healy and Melville 2018, arXiv 1802.03426)."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from anomech.errors import SettingsError

NEIGHBOURS = 15
"""Of an example in the graph that is laid out; UMAP's default."""


def require_umap() -> None:
    """Raises SettingsError where umap-learn is not installed."""
    if find_spec("umap") is None:
        raise SettingsError('a map needs umap-learn; pip install "anomech[umap]".')


def lay_out(
    values: Tensor, *, seed: int, metric: Literal["euclidean", "precomputed"] = "euclidean", spacing: float = 0.1
) -> Tensor:
    """Places in the plane, float64 `[n, 2]`, at which neighbours stay neighbours.

    Args:
        values: Rows `[n, d]`, or distances `[n, n]` where they are "precomputed".
        seed: Seed of the map.
        metric: What the values are.
        spacing: How close to one another examples may lie; UMAP's `min_dist`.
    """
    from umap import UMAP

    neighbours = min(NEIGHBOURS, len(values) - 1)
    umap = UMAP(metric=metric, n_neighbors=neighbours, min_dist=spacing, random_state=seed, n_jobs=1)
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            # It warns that no inputs can be added to a map of given distances, which nobody asks for.
            warnings.simplefilter("ignore")
            return torch.from_numpy(umap.fit_transform(values.numpy())).double()
    finally:
        # numba sets the number of threads of the OpenMP runtime that it shares with torch.
        torch.set_num_threads(threads)
