"""Do couplings of loss traces become those of gradients, as draws grow and steps shrink?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from anomech.bench.extraction import fit_and_extract
from anomech.bench.figure import Figure, Panel
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.examples import Examples, stratified_split
from anomech.features import FeatureExtractor, Features, GradientSketch, LossTraces
from anomech.functional.couplings import pearson
from anomech.functional.directions import directions
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.sampling import SGLD, IsotropicNoise, Sampler
from anomech.tasks import ClassificationTask

COLUMNS = ["detector", "draws", "rank_correlation", "rank_correlation_own_class"]

FIGURE = Figure(
    panels=[Panel(x="draws", label="draws")],
    measures={"rank_correlation": "rank correlation with gradients"},
)

DRAWS = (25, 50, 100, 200, 400, 800, 1600)
WHOLE = 10**4
"""Directions a side that no layer of the model has: the sketch is the gradient itself."""
TRUSTED, INPUTS = 300, 300


def samplers(seed: int) -> dict[str, Sampler]:
    """Samplers, from the published localisation to a tight one."""
    one_chain: dict[str, Any] = {"chains": 1, "draws": max(DRAWS), "seed": seed}
    return {
        "noise, sigma 0.01 (gamma 1e4)": IsotropicNoise(sigma=0.01, **one_chain),
        "noise, sigma 0.001 (gamma 1e6)": IsotropicNoise(sigma=0.001, **one_chain),
        "noise, sigma 0.0001 (gamma 1e8)": IsotropicNoise(sigma=0.0001, **one_chain),
        "SGLD, gamma 1e4, nbeta 100": SGLD(gamma=1e4, nbeta=100.0, batch_norm="frozen", **one_chain),
        "SGLD, gamma 1e6, nbeta 100": SGLD(gamma=1e6, nbeta=100.0, batch_norm="frozen", **one_chain),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Spearman's correlation of all couplings of inputs to trusted examples, of the first draws of each sampler."""
    pool, inputs = demo_split(seed=setup.seed)
    assert pool.y is not None
    sampling, trusted = (pool[positions] for positions in stratified_split(pool.y, 0.5, seed=setup.seed))
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(setup.seed))
    trusted, inputs = trusted[torch.arange(0, TRUSTED)], inputs[order[:INPUTS]]
    own_class, by_gradient = _by_gradient(trusted, inputs, setup)
    for name, sampler in samplers(setup.seed).items():
        of_trusted, of_inputs = _features(LossTraces(sampler), sampling, (trusted, inputs), setup)
        for draws in DRAWS:
            by_traces = pearson(of_inputs.only_layer[:, :draws], of_trusted.only_layer[:, :draws])
            yield {
                "organism": "fashion-badnets",
                "detector": name,
                "n_trusted": len(trusted),
                "draws": draws,
                "rank_correlation": _rank_correlation(by_traces, by_gradient),
                "rank_correlation_own_class": _rank_correlation(by_traces[own_class], by_gradient[own_class]),
                "seed": setup.seed,
            }


def _by_gradient(trusted: Examples, inputs: Examples, setup: Setup) -> tuple[Tensor, Tensor]:
    """Which pairs are of one class, and the cosine of all gradients, `[inputs, trusted]`."""
    sketch = GradientSketch(behaviour="loss", size=WHOLE, seed=setup.seed)
    of_trusted, of_inputs = _features(sketch, trusted, (trusted, inputs), setup)
    (a, _), (b, _) = (
        directions(torch.cat(list(features.layers.values()), dim=1)) for features in (of_inputs, of_trusted)
    )
    return of_inputs.predictions[:, None] == of_trusted.predictions, a @ b.T


def _features(
    extractor: FeatureExtractor, examples: Examples, sets: Sequence[Examples], setup: Setup
) -> list[Features]:
    return fit_and_extract(extractor, ClassificationTask(shipped_model()), examples, sets, track=setup.track)


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    return float(stats.spearmanr(a.flatten(), b.flatten()).statistic)
