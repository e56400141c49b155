"""What detection hangs on: trusted examples, draws, contamination, settings (arXiv 2604.18970, figures 6, 7, E.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from anomech.bench.extraction import fit_and_extract
from anomech.bench.figure import Figure, Panel
from anomech.bench.setup import Scene, Setup
from anomech.bench.subsets import over_sets, over_subsets, random_subsets
from anomech.bench.suite import DETECTION, Row
from anomech.detectors import Detector, Ensemble, GradientSpan, Mahalanobis, QuantumEntropy, TraceCoupling
from anomech.detectors.ensemble import complementary
from anomech.errors import ChainError
from anomech.examples import Examples, concatenate
from anomech.features import FeatureExtractor, Features, GradientSketch, LossTraces
from anomech.progress import Track
from anomech.sampling import RMSpropSGLD
from anomech.tasks import Task

VARIED = ["n_trusted", "draws", "contamination", "gamma", "nbeta"]
COLUMNS = ["study", "organism", "detector", *VARIED, *DETECTION, "subsets"]

FIGURE = Figure(
    panels=[
        Panel(study="trusted", x="n_trusted", label="trusted examples"),
        Panel(study="draws", x="draws", label="draws of one chain"),
        Panel(study="contamination", x="contamination", label="share of trusted examples triggered", scale="linear"),
        Panel(study="settings", x="gamma", label="gamma"),
    ],
    measures={"auroc": "AUROC", "tpr_at_fpr_1": "TPR, threshold of 1 % FPR"},
)

DEMO = "fashion-badnets"
POOLS = {DEMO: 1000, "cifar10-blended": 2500}
"""Trusted examples of each organism."""
SIZES = (50, 100, 250, 500, 750, 1000, 1500, 2000, 2500)
TRUSTED = 500
"""Trusted examples where something else is varied."""
SAMPLING = 250
"""Clean examples of true label that a chain takes gradients on, or a preconditioner its curvature."""
CLEAN, ATTACKED, CONTAMINANTS = 500, 500, 100
DRAWS = (25, 50, 100, 250, 500, 1000, 1750)
SHARES = (0.0, 0.002, 0.004, 0.01, 0.02, 0.05)
GAMMAS = (1e2, 1e3, 1e4, 1e5, 1e6)
NBETAS = (10.0, 100.0, 1000.0)
DAMPED = (1e-2, 1.0, 1e2, 1e4, 1e6)
"""Gammas of a preconditioner, only whose ratio to nbeta couplings depend on."""


class Case(NamedTuple):
    """An organism, and sets of images that have none in common."""

    organism: str
    task: Task
    trusted: Examples
    sampling: Examples
    inputs: Examples
    contaminants: Examples
    """Triggered images with the attacker's label, a part of them for the trusted set, the others for the sampling."""


class Found(NamedTuple):
    """Features of a case."""

    trusted: Features
    inputs: Features
    contaminants: Features


def rows(setup: Setup) -> Iterator[Row]:
    """Every study on every organism that there is data for."""
    for name in filter(POOLS.__contains__, setup.organisms):
        scene = setup.scene(name, trusted=POOLS[name] + SAMPLING, clean=CLEAN, attacked=ATTACKED + CONTAMINANTS)
        if scene:
            for row in _studies(_case(scene, setup.seed), setup):
                yield {"organism": name, "seed": setup.seed, **row}


def detectors(organism: str, seed: int) -> dict[str, Detector]:
    """The default, an ensemble, what a sceptic would try, and sampling where a network is small enough."""
    members = complementary(GradientSketch(seed=seed))
    sampling = {"sampling": TraceCoupling(features=LossTraces(RMSpropSGLD(seed=seed)))}
    return {
        "gradient": members[0],
        "ensemble": Ensemble(members=members),
        "mahalanobis": Mahalanobis(),
        "que (offline)": QuantumEntropy(),
        **(sampling if organism == DEMO else {}),
    }


def _studies(case: Case, setup: Setup) -> Iterator[Row]:
    for name, detector in detectors(case.organism, setup.seed).items():
        found = _extract(detector.features, case, setup.track)
        for row in _by_size(detector, found, case, setup.seed):
            yield {"detector": name, **row}
        for share in SHARES:
            if share and detector.features.needs_examples:
                found = _extract(detector.features, _contaminated(case, share), setup.track)
            chosen = random_subsets(len(found.trusted), size=TRUSTED, seed=setup.seed)
            sets = _contaminated_sets(found, share, chosen)
            figures = over_sets(detector, sets, found.inputs, case.inputs, number=len(chosen), seed=setup.seed)
            yield {"study": "contamination", "detector": name, "contamination": share, **figures}
    yield from _preconditioned(case, setup)
    if case.organism == DEMO:
        yield from _by_draws(case, setup)
        yield from _by_sampler(case, setup)


def _by_size(detector: Detector, found: Found, case: Case, seed: int) -> Iterator[Row]:
    for size in SIZES:
        if size <= len(found.trusted):
            figures = over_subsets(detector, found.trusted, found.inputs, case.inputs, size=size, seed=seed)
            yield {"study": "trusted", **figures}


def _by_draws(case: Case, setup: Setup) -> Iterator[Row]:
    """The first draws of one long chain of the published settings, read as published and as by default."""
    traces = LossTraces(replace(RMSpropSGLD.paper(seed=setup.seed), draws=max(DRAWS)))
    found = _extract(traces, case, setup.track)
    readings = {
        "paper": TraceCoupling(features=traces, measure="pearson", pooling="class-level"),
        "paper, default reading": TraceCoupling(features=traces),
    }
    for name, detector in readings.items():
        for row in _by_size(detector, found, case, setup.seed):
            yield {"detector": name, **row}
        for draws in DRAWS:
            trusted, inputs = (_first(features, draws) for features in (found.trusted, found.inputs))
            figures = over_subsets(detector, trusted, inputs, case.inputs, size=TRUSTED, seed=setup.seed)
            yield {"study": "draws", "detector": name, "draws": draws, **figures}


def _preconditioned(case: Case, setup: Setup) -> Iterator[Row]:
    """Gradient coupling whose inner products are those of first-order sampling."""
    for gamma in DAMPED:
        sketch = GradientSketch(preconditioner="low-rank", gamma=gamma, seed=setup.seed)
        found, detector = _extract(sketch, case, setup.track), GradientSpan(features=sketch)
        figures = over_subsets(detector, found.trusted, found.inputs, case.inputs, size=TRUSTED, seed=setup.seed)
        name = f"gradient, low-rank, nbeta {sketch.nbeta:g}"
        yield {"study": "settings", "detector": name, "gamma": gamma, "nbeta": sketch.nbeta, **figures}


def _by_sampler(case: Case, setup: Setup) -> Iterator[Row]:
    """Chains of other settings, on one trusted set; no figures where a chain fails."""
    one = case._replace(trusted=case.trusted[torch.arange(min(TRUSTED, len(case.trusted)))])
    for nbeta in NBETAS:
        for gamma in GAMMAS:
            traces = LossTraces(RMSpropSGLD(gamma=gamma, nbeta=nbeta, seed=setup.seed))
            row = {"study": "settings", "detector": f"sampling, nbeta {nbeta:g}", "gamma": gamma, "nbeta": nbeta}
            try:
                found = _extract(traces, one, setup.track)
            except ChainError as error:
                yield {**row, "n_trusted": TRUSTED, "failed": str(error)}
                continue
            detector = TraceCoupling(features=traces)
            yield row | over_sets(detector, [found.trusted], found.inputs, case.inputs, number=1, seed=setup.seed)


def _case(scene: Scene, seed: int) -> Case:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(scene.trusted), generator=generator)
    assert scene.inputs.anomalous is not None
    attacked = scene.inputs.anomalous.nonzero().flatten()
    chosen = attacked[torch.randperm(len(attacked), generator=generator)[:CONTAMINANTS]]
    kept = torch.ones(len(scene.inputs), dtype=torch.bool).index_fill(0, chosen, False)
    contaminants = scene.inputs[chosen]
    return Case(
        scene.organism,
        scene.task,
        trusted=scene.trusted[order[SAMPLING:]],
        sampling=scene.trusted[order[:SAMPLING]],
        inputs=scene.inputs[kept],
        contaminants=Examples(x=contaminants.x, y=contaminants.target, ids=contaminants.ids),
    )


def _contaminated(case: Case, share: float) -> Case:
    """The same with that share of the sampling examples replaced by contaminants, from the last one on."""
    number = round(share * len(case.sampling))
    if number == 0:
        return case
    clean = case.sampling[torch.arange(number, len(case.sampling))]
    odd = case.contaminants[torch.arange(len(case.contaminants) - number, len(case.contaminants))]
    return case._replace(sampling=concatenate(clean, odd))


def _contaminated_sets(found: Found, share: float, chosen: Sequence[Tensor]) -> Iterator[Features]:
    """Trusted sets with that share replaced by contaminants, others for each set, from the first one on."""
    number = round(share * TRUSTED)
    for i, positions in enumerate(chosen):
        odd = (i * number + torch.arange(number)) % (3 * len(found.contaminants) // 4)
        yield found.trusted[positions[number:]].followed_by(found.contaminants[odd])


def _extract(extractor: FeatureExtractor, case: Case, track: Track) -> Found:
    examples = case.sampling if extractor.needs_examples else case.trusted
    return Found(
        *fit_and_extract(extractor, case.task, examples, (case.trusted, case.inputs, case.contaminants), track=track)
    )


def _first(traces: Features, draws: int) -> Features:
    return Features({"loss": traces.only_layer[:, :draws]}, traces.predictions)
