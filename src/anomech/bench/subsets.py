"""Figures of a detector over several random trusted sets, from features that were extracted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch

from anomech.bench.suite import Row
from anomech.detectors import Detector
from anomech.evaluation import Figures, evaluate
from anomech.examples import Examples
from anomech.features import Features

SUBSETS = 10


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
    sets = random_subsets(trusted, size=size, seed=seed, subsets=subsets)
    return over_sets(detector, sets, features, inputs, seed=seed)


def random_subsets(trusted: Features, *, size: int, seed: int, subsets: int = SUBSETS) -> list[Features]:
    """So many random subsets of this size, or all of the trusted examples once if there are no more."""
    generator = torch.Generator().manual_seed(seed)
    orders = (torch.randperm(len(trusted), generator=generator) for _ in range(subsets if size < len(trusted) else 1))
    return [trusted[order[:size]] for order in orders]


def over_sets(detector: Detector, sets: Sequence[Features], features: Features, inputs: Examples, *, seed: int) -> Row:
    """Mean figures over trusted sets of one size."""
    found: list[Figures] = []
    for trusted in sets:
        fitted = replace(detector).fit(trusted)
        found.append(
            evaluate(
                inputs,
                predictions=features.predictions,
                scores=fitted.score(features),
                trusted_scores=fitted.trusted_scores(),
                fpr=0.01,
                seed=seed,
            )
        )
    return {
        "n_trusted": len(sets[0]),
        "subsets": len(found),
        **{name: _mean(found, name) for name in found[0]},
    }


def _mean(found: list[Figures], name: str) -> float | None:
    values = [figures[name] for figures in found]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
