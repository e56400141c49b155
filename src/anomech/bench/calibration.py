"""Do p-values hold on clean data, and which way of holding trusted examples out wastes none of them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from anomech.bench.extraction import fit_and_extract
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.detectors import CouplingMap, Detector, GradientSpan, Mahalanobis, QuantumEntropy, TraceCoupling
from anomech.examples import stratified_split
from anomech.features import Features
from anomech.functional.conformal import p_values, realised_fpr_range
from anomech.organisms.fashion import POISONING, shipped_examples, shipped_model
from anomech.progress import Track
from anomech.tasks import ClassificationTask

COLUMNS = (
    "detector",
    "scheme",
    "nominal_fpr",
    "realised_fpr",
    "splits_in_range",
    "splits",
    "tpr",
    "n_trusted",
)
SPLITS = 20
TRUSTED = 500
CLEAN = 1000
FOLDS = 10
RATES = (0.01, 0.05, 0.1)

Scheme = Callable[[Detector, Features, Features], Tensor]
"""P-values `[m]` of inputs, from a detector that is not fitted yet and n trusted features."""


def detectors() -> dict[str, Detector]:
    """The default, and what else p-values are read from; built when asked for, since a map needs an extra package."""
    return {
        "gradient": GradientSpan(),
        "sampling": TraceCoupling(),
        "mahalanobis": Mahalanobis(),
        "que (offline)": QuantumEntropy(),
        "umap (offline)": CouplingMap(),
        "umap, sampling (offline)": CouplingMap(couplings=TraceCoupling()),
    }


def left_out(detector: Detector, trusted: Features, inputs: Features) -> Tensor:
    """What the auditor does: the trusted scores are each taken with that example, or its fold, left out."""
    fitted = detector.fit(trusted)
    return p_values(fitted.trusted_scores(), fitted.score(inputs))


def split(detector: Detector, trusted: Features, inputs: Features) -> Tensor:
    """Half the trusted examples are the reference, the other half calibrates."""
    positions = torch.arange(len(trusted))
    fitted = detector.fit(trusted[positions[::2]])
    return p_values(fitted.score(trusted[positions[1::2]]), fitted.score(inputs))


def cross(detector: Detector, trusted: Features, inputs: Features) -> Tensor:
    """Cross-conformal (Vovk 2015): each fold is compared with the inputs under the detector fitted on the others."""
    fold_of = torch.arange(len(trusted)) % FOLDS
    at_least = torch.zeros(len(inputs), dtype=torch.float64)
    for fold in range(FOLDS):
        held_out, others = (fold_of == fold).nonzero().flatten(), (fold_of != fold).nonzero().flatten()
        fitted = replace(detector).fit(trusted[others])
        at_least += p_values(fitted.score(trusted[held_out]), fitted.score(inputs)) * (len(held_out) + 1) - 1
    return (1 + at_least) / (len(trusted) + 1)


SCHEMES: dict[str, Scheme] = {"left out": left_out, "split": split, "cross-conformal": cross}


def rows(setup: Setup) -> Iterator[Row]:
    """Every detector and scheme on the same random splits of clean images, and on triggered ones that are in no split.

    An offline detector is asked for p-values once, of clean and triggered inputs as one batch.
    """
    for name, detector in detectors().items():
        clean, attacked = _features(detector, setup.seed, setup.track)
        for scheme, p_values_of in SCHEMES.items():
            if detector.offline and scheme != "left out":
                continue
            realised, found = _over_splits(detector, p_values_of, clean, attacked, setup.seed)
            # A split leaves half of the examples to calibrate on.
            n = TRUSTED // 2 if scheme == "split" else TRUSTED
            for rate in RATES:
                low, high = realised_fpr_range(n, CLEAN, rate)
                shares = [float((p <= rate).double().mean()) for p in realised]
                yield {
                    "organism": "fashion-badnets",
                    "detector": name,
                    "scheme": scheme,
                    "nominal_fpr": rate,
                    "realised_fpr": sum(shares) / SPLITS,
                    "splits_in_range": sum(low <= share <= high for share in shares),
                    "splits": SPLITS,
                    "tpr": sum(float((p <= rate).double().mean()) for p in found) / SPLITS,
                    "n_trusted": TRUSTED,
                    "seed": setup.seed,
                }


def _features(detector: Detector, seed: int, track: Track) -> tuple[Features, Features]:
    """Features of 2,000 clean images and of 450 triggered ones; the rest of the shipped images serves the sampler."""
    pool = shipped_examples()
    assert pool.y is not None
    sampling, rest = stratified_split(pool.y, 500 / 3000, seed=seed)
    victims, clean = stratified_split(pool.y[rest], 500 / 2500, seed=seed)
    task = ClassificationTask(shipped_model())
    both = (pool[rest[clean]], POISONING.attack(pool[rest[victims]]))
    first, second = fit_and_extract(detector.features, task, pool[sampling], both, track=track)
    return first, second


def _over_splits(
    detector: Detector, p_values_of: Scheme, clean: Features, attacked: Features, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    realised, found = [], []
    for _ in range(SPLITS):
        order = torch.randperm(len(clean), generator=generator)
        inputs = clean[order[TRUSTED : TRUSTED + CLEAN]].followed_by(attacked)
        p = p_values_of(detector, clean[order[:TRUSTED]], inputs)
        of_clean, of_attacked = p.split([CLEAN, len(attacked)])
        realised.append(of_clean)
        found.append(of_attacked)
    return realised, found
