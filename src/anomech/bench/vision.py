"""Every attack on every dataset, beside everything that a sceptic would try first."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import as_completed
from os import cpu_count

import psutil
import torch

from anomech.bench.cells import Spec, run_organism
from anomech.bench.setup import Setup
from anomech.bench.suite import DETECTION, Row
from anomech.bench.workers import worker_pool
from anomech.detectors import (
    TED,
    VAE,
    Beatrix,
    CouplingMap,
    Detector,
    Energy,
    Ensemble,
    GradientCoupling,
    IsolationForest,
    LikelihoodRatio,
    LocalOutlierFactor,
    Mahalanobis,
    MaxSoftmax,
    NearestNeighbours,
    PCAMahalanobis,
    QuantumEntropy,
    ScaleUp,
    SentiNet,
    Strip,
    TeCo,
    TraceCoupling,
    TwoGaussians,
    TypicalConfidence,
)
from anomech.detectors.ensemble import complementary
from anomech.errors import AnomechError, DataError
from anomech.features import GradientSketch, LossTraces, UntrainedActivations
from anomech.organisms.attacks import ATTACKS
from anomech.sampling import IsotropicNoise, RMSpropSGLD

logger = logging.getLogger(__name__)

COLUMNS = [
    "organism",
    "detector",
    *DETECTION,
    "der_posthoc",
    "flagged_uncertain",
    "flagged_corrupted",
    "flagged_rare",
    "asr",
    "accuracy",
    "seconds",
    "forward_equivalents",
]

RATES = (0.001, 0.005, 0.01, 0.1)
"""Poisoning rates of the full suite, beside each attack's own."""

WORKER_BYTES = 3 * 2**30
"""Memory that one organism takes, CIFAR-10's training images included."""

CIFAR10 = ("badnets", "blended", "sig", "low-frequency", "wanet", "trojan", "feature-matching")
"""Attacks of the small suite on CIFAR-10, whose networks take longer to train."""

SMALL = (
    *(Spec("gtsrb", attack) for attack in ATTACKS),
    *(Spec("cifar10", attack) for attack in CIFAR10),
)
FULL = (
    *(Spec(dataset, attack) for dataset in ("fashion", "gtsrb", "cifar10") for attack in ATTACKS),
    *(Spec(dataset, "blended", rate) for dataset in ("fashion", "gtsrb", "cifar10") for rate in RATES),
)


NOISE_DRAWS = 50


def detectors(setup: Setup) -> dict[str, Detector]:
    """The default, the ensemble, and what a sceptic would try."""
    seed = setup.seed
    sketch = GradientSketch(seed=seed)
    members, pairwise = complementary(sketch), GradientCoupling(features=sketch)
    found: dict[str, Detector] = {
        "gradient": members[0],
        "pairwise coupling": pairwise,
        "class-level coupling": members[-1],
        "ensemble": Ensemble(members=members),
        "mahalanobis": Mahalanobis(),
        "mahalanobis two-sided": Mahalanobis(two_sided=True),
        "mahalanobis global": Mahalanobis(distance="global"),
        "mahalanobis relative": Mahalanobis(distance="relative"),
        "mahalanobis diagonal": Mahalanobis(covariance="diagonal"),
        "pca-mahalanobis": PCAMahalanobis(),
        "knn": NearestNeighbours(),
        "lof": LocalOutlierFactor(),
        "isolation-forest": IsolationForest(seed=seed),
        "vae": VAE(seed=seed),
        "beatrix": Beatrix(),
        "ted": TED(),
        "que (offline)": QuantumEntropy(),
        "likelihood-ratio (offline)": LikelihoodRatio(),
        "two-gaussians (offline)": TwoGaussians(),
        "umap (offline)": CouplingMap(couplings=pairwise, seed=seed),
        "max-softmax": MaxSoftmax(),
        "energy": Energy(),
        "typical-confidence": TypicalConfidence(),
        "strip": Strip(),
        "teco": TeCo(),
        "scale-up": ScaleUp(),
        "sentinet": SentiNet(),
        "isotropic noise": TraceCoupling(features=LossTraces(IsotropicNoise(draws=NOISE_DRAWS, seed=seed))),
        "random-features": Mahalanobis(features=UntrainedActivations(seed=seed)),
    }
    if setup.suite == "full":
        sampling = TraceCoupling(features=LossTraces(RMSpropSGLD(seed=seed)))
        found |= {"sampling": sampling, "umap, sampling (offline)": CouplingMap(couplings=sampling, seed=seed)}
    return found


def rows(setup: Setup) -> Iterator[Row]:
    """Every detector on every organism, as many organisms at a time as there are cores.

    Raises:
        DataError: There is no folder of images.
    """
    if setup.data is None:
        raise DataError("the vision suite trains on published images; name their folder with --data.")
    specs = SMALL if setup.suite == "small" else FULL
    chosen = detectors(setup)
    with worker_pool(_workers()) as pool:
        try:
            jobs = {pool.submit(run_organism, spec, chosen, setup.quiet()): spec for spec in specs}
            for job in setup.track(as_completed(jobs), f"{len(chosen)} detectors on organisms", len(jobs)):
                try:
                    yield from job.result()
                except AnomechError as error:
                    logger.warning("%s-%s is left out: %s", jobs[job].dataset, jobs[job].attack, error)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _workers() -> int:
    """Processes that there are cores and memory for; one where a GPU is shared."""
    if torch.cuda.is_available():
        return 1
    return max(1, min(cpu_count() or 1, int(psutil.virtual_memory().available) // WORKER_BYTES))
