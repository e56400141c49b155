"""Quirky models: which detectors tell the answers that a heuristic gave from truthful ones, and what that hangs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import Tensor

from anomech.bench.extraction import SharedFeatures
from anomech.bench.figure import Figure, Panel
from anomech.bench.kept import kept, row_path
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.detectors import (
    ByLayer,
    Detector,
    Ensemble,
    GradientSpan,
    IsolationForest,
    LikelihoodRatio,
    LocalOutlierFactor,
    Mahalanobis,
    NearestNeighbours,
    PCAMahalanobis,
    QuantumEntropy,
    TwoGaussians,
)
from anomech.evaluation import evaluate
from anomech.features import AttributionEffects, GradientSketch, ProbeShift, ResidualStream
from anomech.functional.metrics import auroc
from anomech.functional.quirkiness import centroid_separation
from anomech.measure import Usage, measured
from anomech.organisms.language.quirky.loading import QuirkyOrganism, load_quirky_organism
from anomech.organisms.language.quirky.recipes import QUIRKY
from anomech.settings import to_plain
from anomech.versions import versions

COLUMNS = [
    "organism",
    "quirkiness",
    "detector",
    "layer",
    "separation",
    "n_trusted",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_agreed",
    "auroc_disputed",
    "tpr_at_fpr_5",
    "realised_fpr_5",
    "seconds",
    "forward_equivalents",
]

FIGURE = Figure(
    panels=[
        Panel(x="quirkiness", label="quirkiness coefficient", scale="linear", pooled=True),
        Panel(x="separation", label="separation of Alice and Bob in a layer", study="layer", pooled=True),
    ],
    measures={"auroc": "AUROC", "auroc_disputed": "AUROC where Alice and Bob disagree"},
)

EVERY = 3
"""Of the blocks, those at which Mahalanobis distance is also shown by itself: every third, and so the last."""

AVERAGED = ["auroc", "auroc_agreed", "auroc_disputed", "tpr_at_fpr_5", "realised_fpr_5"]


def detectors(setup: Setup) -> dict[str, Detector]:
    """The default, those of arXiv 2504.08812 on the residual stream, and both kinds together."""
    gradient = GradientSpan(features=GradientSketch(seed=setup.seed))
    return {
        "gradient": gradient,
        "mahalanobis by layer": ByLayer(),
        "attribution effects by block": ByLayer(features=AttributionEffects()),
        "probe shift by block": ByLayer(features=ProbeShift()),
        "pca-mahalanobis by layer": ByLayer(member=PCAMahalanobis()),
        "lof by layer": ByLayer(member=LocalOutlierFactor()),
        "knn by layer": ByLayer(member=NearestNeighbours()),
        "isolation forest by layer": ByLayer(member=IsolationForest()),
        "gradient + mahalanobis": Ensemble(members=(gradient, ByLayer())),
        "quantum entropy by layer (offline)": ByLayer(member=QuantumEntropy()),
        "likelihood ratio by layer (offline)": ByLayer(member=LikelihoodRatio()),
        "two gaussians by layer (offline)": ByLayer(member=TwoGaussians()),
    }


def rows(setup: Setup) -> Iterator[Row]:
    """Every detector on every organism, each kept and not run again; then averages over those that are quirky.

    Raises:
        DataError: There is no folder of the base model among the data, or a text is missing.
    """
    data, base = setup.language_data()
    done = []
    for name in setup.track(QUIRKY, "quirky organisms", len(QUIRKY)):
        organism = load_quirky_organism(name, setup.part, base=base, data=data, cache=setup.cache, track=setup.track)
        for row in _Bench(name, organism, setup).rows():
            done.append(row)
            yield row
    yield from averages(done)


def averages(rows: Sequence[Row]) -> Iterator[Row]:
    """Means of each detector over the organisms whose quirkiness is above 0; the row says which were left out."""
    whole = [row for row in rows if row.get("study") is None]
    quirky = [row for row in whole if row["quirkiness"] > 0]
    left_out = sorted({row["organism"] for row in whole if row["quirkiness"] <= 0})
    for detector in dict.fromkeys(row["detector"] for row in quirky):
        chosen = [row for row in quirky if row["detector"] == detector]
        organism = f"mean of {len(chosen)}" + (f", without {', '.join(left_out)}" if left_out else "")
        means = {key: _mean([row[key] for row in chosen]) for key in AVERAGED}
        yield {"study": "mean", "organism": organism, "detector": detector, **means}


@dataclass
class _Bench:
    """An organism, and the features that detectors share."""

    name: str
    organism: QuirkyOrganism
    setup: Setup

    def rows(self) -> Iterator[Row]:
        """What every detector finds over all layers, then Mahalanobis distance in single ones."""
        for name, detector in detectors(self.setup).items():
            yield self._kept(name, detector, None)
        stream = Mahalanobis(features=ResidualStream())
        for layer in self._layers:
            yield self._kept("mahalanobis", stream, layer)

    def _kept(self, name: str, detector: Detector, layer: str | None) -> Row:
        organism, setup = self.organism, self.setup
        hashes = organism.task.model_sha256(), organism.trusted.sha256(), organism.inputs.sha256()
        made_of = [*hashes, to_plain(detector), layer, setup.seed, versions()["anomech"]]
        path = row_path(setup, f"quirky-{self.name}-{name}", made_of)
        return kept(path, partial(self._row, name, detector, layer))

    def _row(self, name: str, detector: Detector, layer: str | None) -> Row:
        (trusted, features), usage = self._features(detector.features)
        if layer is not None:
            trusted, features = trusted.of_layers([layer]), features.of_layers([layer])
        with measured(self.organism.task) as scoring:
            fitted = replace(detector).fit(trusted)
            own, scores = fitted.trusted_scores(), fitted.score(features)
        separation = self._separations[layer] if layer else _mean(list(self._separations.values()))
        return {
            "study": "layer" if layer else None,
            "organism": self.name,
            **self.organism.figures,
            "detector": name,
            "layer": layer,
            "separation": separation,
            "n_trusted": len(trusted),
            "n_inputs": len(features),
            **self._figures(features.predictions, scores, own),
            **_cost(usage, scoring, len(features)),
            "seed": self.setup.seed,
        }

    def _figures(self, predictions: Tensor, scores: Tensor, own: Tensor) -> Row:
        inputs, agreed = self.organism.inputs, self.organism.agreed
        assert inputs.anomalous is not None
        figures = evaluate(
            inputs, predictions=predictions, scores=scores, trusted_scores=own, fpr=0.05, seed=self.setup.seed
        )
        apart = {
            name: auroc(scores[chosen], inputs.anomalous[chosen])
            for name, chosen in (("auroc_agreed", agreed), ("auroc_disputed", ~agreed))
        }
        return {**figures, **apart}

    @cached_property
    def _features(self) -> SharedFeatures:
        organism = self.organism
        return SharedFeatures(
            task=organism.task, trusted=organism.trusted, sets=(organism.inputs,), track=self.setup.track
        )

    @cached_property
    def _layers(self) -> list[str]:
        blocks = cast(Any, self.organism.task.model).config.num_hidden_layers
        return [f"block {i}" for i in range(EVERY - 1, blocks, EVERY)]

    @cached_property
    def _separations(self) -> dict[str, float]:
        """How far apart inputs of Alice and of Bob are in every layer of the residual stream."""
        (_, features), _ = self._features(ResidualStream())
        bob = self.organism.inputs.anomalous
        assert bob is not None
        return {name: centroid_separation(values[~bob], values[bob]) for name, values in features.layers.items()}


def _cost(extraction: Usage, scoring: Usage, inputs: int) -> Row:
    return {
        "seconds": extraction.seconds + scoring.seconds,
        "forward_equivalents": extraction.forward_passes / inputs,
    }


def _mean(values: Sequence[float]) -> float:
    return torch.tensor(values, dtype=torch.float64).mean().item()
