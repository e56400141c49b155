"""Figures of a detector over several random trusted sets, from features that were extracted once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from anomech.bench.suite import Row
from anomech.detectors import Detector
from anomech.evaluation import Figures, evaluate
from anomech.examples import Examples
from anomech.features import Features

SUBSETS = 10
RESAMPLES = 1000
"""Of the bootstrap, over all subsets."""
FEWEST_RESAMPLES = 250
"""On each subset, so that the ends of its interval are found."""


def over_subsets(
    detector: Detector,
    trusted: Features,
    features: Features,
    inputs: Examples,
    *,
    size: int,
    seed: int,
    subsets: int = SUBSETS,
) -> Row:
    """Mean figures over random subsets of the trusted examples, or of all of them if there are no more.

    Args:
        detector: Fitted anew on every subset.
        trusted: Features of all trusted examples.
        features: Features of the inputs.
        inputs: The inputs, with what is known of them.
        size: Trusted examples in a subset.
        seed: Seed of the subsets.
        subsets: How many.
    """
    chosen = random_subsets(len(trusted), size=size, seed=seed, subsets=subsets)
    sets = (trusted[positions] for positions in chosen)
    return over_sets(detector, sets, features, inputs, number=len(chosen), seed=seed)


def random_subsets(n: int, *, size: int, seed: int, subsets: int = SUBSETS) -> list[Tensor]:
    """Positions of so many random subsets of this size, or of all n examples once if there are no more."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(n, generator=generator)[:size] for _ in range(subsets if size < n else 1)]


def over_sets(
    detector: Detector, sets: Iterable[Features], features: Features, inputs: Examples, *, number: int, seed: int
) -> Row:
    """Mean figures over a number of trusted sets of one size."""
    found: list[Figures] = []
    size = 0
    for trusted in sets:
        size, fitted = len(trusted), replace(detector).fit(trusted)
        found.append(
            evaluate(
                inputs,
                predictions=features.predictions,
                scores=fitted.score(features),
                trusted_scores=fitted.trusted_scores(),
                fpr=0.01,
                seed=seed,
                resamples=max(FEWEST_RESAMPLES, RESAMPLES // number),
            )
        )
    return {
        "n_trusted": size,
        "subsets": len(found),
        **{name: _mean(found, name) for name in found[0]},
    }


def _mean(found: list[Figures], name: str) -> float | None:
    values = [figures[name] for figures in found]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
