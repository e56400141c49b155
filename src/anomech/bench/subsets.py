"""Figures of a detector over several random trusted sets, from features that were extracted once."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import torch

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
    generator = torch.Generator().manual_seed(seed)
    found: list[Figures] = []
    number = subsets if size < len(trusted) else 1
    for _ in range(number):
        chosen = torch.randperm(len(trusted), generator=generator)[:size]
        fitted = replace(detector).fit(trusted[chosen])
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
        "n_trusted": min(size, len(trusted)),
        "subsets": len(found),
        **{name: _mean(found, name) for name in found[0]},
    }


def _mean(found: list[Figures], name: str) -> float | None:
    values = [figures[name] for figures in found]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
