"""Where attributions point: at the trigger, at nothing, or at what a random one points at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.bench import explain_language
from anomech.bench.kept import kept, row_path
from anomech.bench.randomised import MEMORISING, Quantities, of_random_models, of_relabelled_model, resemblance
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.calibration import Calibrator
from anomech.errors import AnomechError, DataError
from anomech.examples import Examples
from anomech.explain.attribution import Attribution, Quantity
from anomech.explain.controls import RandomPlaces
from anomech.explain.erasure import Erasure
from anomech.explain.explanations import Explainer
from anomech.explain.grad_cam import GradCAM
from anomech.explain.gradients import Gradient, IntegratedGradients
from anomech.explain.middle import Middle
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Anomaly, Output
from anomech.explain.rise import RISE
from anomech.functional.localization import (
    area_under,
    energy_in_mask,
    is_centred_on,
    overlap,
    points_at_centre,
    precision,
    removal_curve,
)
from anomech.measure import measured
from anomech.organisms.organism import Organism
from anomech.organisms.registry import load_organism
from anomech.organisms.trained import load_trained
from anomech.tasks import ClassificationTask, Task
from anomech.verdicts import Verdicts
from anomech.versions import versions

logger = logging.getLogger(__name__)

LOCALIZATION = ["trigger_share", "centre_in_top_2", "centre_of_hidden_in_2", "top_2_in_mask", "energy_in_mask", "iou"]
COLUMNS = [
    "organism",
    "attribution",
    "explained",
    *LOCALIZATION,
    "deletion",
    "insertion",
    "neutralised",
    "vouched",
    "spread_out",
    "trigger_first",
    "chance_first",
    "trigger_in_top_3",
    "chance_in_top_3",
    "other_word_first",
    "last_layer",
    "all_layers",
    "random_labels",
    "forward_equivalents",
    "seconds",
]

SHIPPED = "fashion-badnets"
PUBLISHED = ("gtsrb-badnets", "gtsrb-trojan")
PATCHES = (("cifar10", "badnets"), ("gtsrb", "badnets"), ("gtsrb", "trojan"))
SPREAD_OUT = (("cifar10", "blended"), ("gtsrb", "blended"), ("gtsrb", "wanet"), ("gtsrb", "sig"))
"""Organisms whose triggers have no place: what is asked of an attribution is that it says so."""
RANDOMISED = (SHIPPED, f"published {PUBLISHED[0]}")
"""Organisms on which maps are compared with those of random models."""
RELABELLED = SHIPPED
"""Organism whose network is trained once more, on random labels; it is small."""
TRUSTED, CLEAN, ATTACKED = 500, 50, 240
FPR = 0.01
TOP = 0.02
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Shares of the pixels that insertion and deletion are measured at."""
VISIBLE = 0.1
"""Change of a black or a white image that belongs to a trigger."""


def attributions(setup: Setup) -> dict[str, tuple[str, Attribution]]:
    """What is explained, and how; the default comes first and chance last."""
    rise = RISE(copies=53, seed=setup.seed)
    found: dict[str, tuple[str, Attribution]] = {
        "anomaly, occlusion": ("anomaly", Occlusion()),
        "anomaly, integrated gradients": ("anomaly", IntegratedGradients()),
        "anomaly, gradient": ("anomaly", Gradient()),
        "anomaly, erased until vouched": ("anomaly", Erasure()),
        "anomaly, middle of what is erased": ("anomaly", Middle()),
        "output, occlusion": ("output", Occlusion()),
        "output, integrated gradients": ("output", IntegratedGradients()),
        "output, gradient": ("output", Gradient()),
        "output, Grad-CAM": ("output", GradCAM()),
        "output, RISE": ("output", rise),
    }
    if setup.suite == "full":
        found["anomaly, RISE"] = ("anomaly", rise)
    return {**found, "random": ("anomaly", RandomPlaces(seed=setup.seed))}


def rows(setup: Setup) -> Iterator[Row]:
    """Every attribution on every organism that there is data for.

    The default and chance come first on all of them, so that a run that is cut off has these. In the small suite, most
    others are left out where a trigger has no place.
    """
    (default, *others, chance), working = attributions(setup).items(), []
    for name, load in _organisms(setup).items():
        try:
            bench = _Bench(name, load(), setup)
            yield from bench.rows([default, chance])
            working.append(bench)
        except AnomechError as error:
            logger.warning("%s is left out: %s", name, error)
    brief = [one for one in others if isinstance(one[1][1], Erasure)]
    for bench in working:
        spread_out = bench.name in map("-".join, SPREAD_OUT)
        yield from bench.rows(brief if spread_out and setup.suite == "small" else others)
    if setup.base_model() is not None:
        yield from explain_language.rows(setup)


def _organisms(setup: Setup) -> dict[str, Callable[[], Organism]]:
    given: Mapping[str, Any] = {"data": setup.data, "cache": setup.cache, "part": setup.part, "track": setup.track}
    found: dict[str, Callable[[], Organism]] = {SHIPPED: partial(load_organism, SHIPPED, **given)}
    if setup.data is not None:
        found |= {f"published {name}": partial(load_organism, name, **given) for name in PUBLISHED}
        found |= {
            f"{dataset}-{attack}": partial(load_trained, dataset, attack, **given)
            for dataset, attack in PATCHES + SPREAD_OUT
        }
    return found


@dataclass
class _Bench:
    """Flagged inputs of an organism with a trigger that worked."""

    name: str
    organism: Organism
    setup: Setup

    def rows(self, chosen: Sequence[tuple[str, tuple[str, Attribution]]]) -> Iterator[Row]:
        """The rows of these attributions, computed unless they are kept."""
        for label, (explained, attribution) in self.setup.track(chosen, f"attributions on {self.name}", len(chosen)):
            path = row_path(self.setup, f"explain-{self.name}", self.made_of(explained, attribution))
            yield kept(path, partial(self.row, label, explained, attribution))

    def made_of(self, explained: str, attribution: Attribution) -> dict[str, Any]:
        """What a row depends on."""
        return {
            "model": self.task.model_sha256(),
            "part": self.setup.part,
            "seed": self.setup.seed,
            "explained": explained,
            "attribution": repr(attribution),
            "explainer": repr(Explainer()),
            "sizes": [TRUSTED, CLEAN, ATTACKED, SHARES],
            "versions": versions(),
            **({"relabelled": repr(MEMORISING)} if self.name == RELABELLED else {}),
        }

    def row(self, label: str, explained: str, attribution: Attribution) -> Row:
        """How well an attribution does."""
        auditor, x = self.auditor, self.chosen.x
        anomaly = Anomaly(auditor)
        quantity: Quantity = anomaly if explained == "anomaly" else Output(self.task)
        with measured(self.task) as usage:
            maps = attribution.attribute(quantity, x)
        explainer = Explainer(attribution=_Known(maps))
        found = explainer.explain(auditor, self.inputs, self.verdicts, self.positions)
        hidden, without = found.hidden, found.verdicts
        if isinstance(attribution, Erasure):
            hidden = maps > 0
            without = auditor.audit(Examples(x=explainer.eraser.erase(x, hidden)))
        return {
            "suite": "explain",
            "organism": self.name,
            "attribution": label,
            "detector": "gradient",
            "n_trusted": TRUSTED,
            "explained": len(x),
            **self._localization(maps, hidden),
            **self._curves(anomaly, maps),
            "neutralised": _mean(without.predictions.eq(self._classes)),
            "vouched": _mean(without.p_values > FPR),
            "spread_out": _mean(~found.located),
            **dict.fromkeys(
                ("trigger_first", "chance_first", "trigger_in_top_3", "chance_in_top_3", "other_word_first")
            ),
            **dict.fromkeys(("last_layer", "all_layers", "random_labels")),
            **self._randomised(explained, attribution, maps),
            "forward_equivalents": usage.forward_passes / len(x),
            "seconds": usage.seconds / len(x),
            "seed": self.setup.seed,
        }

    @cached_property
    def task(self) -> Task:
        return ClassificationTask(self.organism.model)

    @cached_property
    def _audited(self) -> tuple[Auditor, Examples, Verdicts]:
        trusted, inputs = self.organism.split(trusted=TRUSTED, clean=CLEAN, attacked=ATTACKED, seed=self.setup.seed)
        auditor = Auditor(self.task, calibrator=Calibrator(fpr=FPR), seed=self.setup.seed)
        return auditor, inputs, auditor.fit_audit(trusted, inputs)

    @property
    def auditor(self) -> Auditor:
        return self._audited[0]

    @property
    def inputs(self) -> Examples:
        return self._audited[1]

    @property
    def verdicts(self) -> Verdicts:
        return self._audited[2]

    @cached_property
    def positions(self) -> Tensor:
        """Of flagged inputs that the trigger made the model answer as the attacker wants.

        Raises:
            DataError: There are none.
        """
        assert self.inputs.anomalous is not None
        worked = self.inputs.anomalous & self.verdicts.flagged & (self.verdicts.predictions == self.inputs.target)
        if not worked.any():
            raise DataError("no input with the trigger was flagged, so there is nothing to explain.")
        positions: Tensor = worked.nonzero().flatten()
        return positions

    @cached_property
    def random_models(self) -> dict[str, Quantities]:
        found = of_random_models(self.auditor)
        if self.name == RELABELLED:
            found["random_labels"] = of_relabelled_model(self.auditor, cache=self.setup.cache, track=self.setup.track)
        return found

    @cached_property
    def chosen(self) -> Examples:
        return self.inputs[self.positions]

    @cached_property
    def mask(self) -> Tensor:
        """Where the trigger changes a black or a white image, bool `[k, height, width]`."""
        images = self.organism.images
        assert images.y is not None
        classes = images.y.unique()
        changed = torch.zeros(images.x.shape[2:], dtype=torch.bool)
        for grey in (0.0, 1.0):
            flat = Examples(x=torch.full((len(classes), *images.x.shape[1:]), grey), y=classes)
            attacked = self.organism.attack(flat).x[:1]
            changed |= ((attacked - grey).abs() > VISIBLE).any(dim=1)[0]
        return changed.expand(len(self.positions), -1, -1)

    @property
    def _classes(self) -> Tensor:
        """The true ones."""
        assert self.chosen.y is not None
        return self.chosen.y

    def _localization(self, maps: Tensor, hidden: Tensor) -> Row:
        """Null where the trigger has no shape of its own."""
        share = float(self.mask.double().mean())
        if not share:
            return dict.fromkeys(LOCALIZATION)
        return {
            "trigger_share": share,
            "centre_in_top_2": _mean(points_at_centre(maps, self.mask, TOP)),
            "centre_of_hidden_in_2": _mean(is_centred_on(hidden, self.mask, TOP)),
            "top_2_in_mask": _mean(precision(maps, self.mask, TOP)),
            "energy_in_mask": _mean(energy_in_mask(maps, self.mask)),
            "iou": _mean(overlap(maps, self.mask)),
        }

    def _randomised(self, explained: str, attribution: Attribution, maps: Tensor) -> Row:
        if self.name not in RANDOMISED:
            return {}
        return {
            name: resemblance(attribution, quantities[explained], self.chosen.x, maps)
            for name, quantities in self.random_models.items()
        }

    def _curves(self, anomaly: Anomaly, maps: Tensor) -> Row:
        """Mean share of the anomaly that is there while pixels are deleted, and inserted."""
        x, eraser = self.chosen.x, Explainer().eraser
        usual = self.verdicts.trusted_scores.median()
        excess = self.verdicts.scores[self.positions] - usual

        def left(hidden: Tensor) -> Tensor:
            scores = anomaly.values(eraser.erase(x, hidden), self._classes)
            share: Tensor = ((scores - usual) / excess).clamp(0, 1)
            return share

        curves = {
            name: removal_curve(maps, SHARES, left, inserted=inserted)
            for name, inserted in (("deletion", False), ("insertion", True))
        }
        return {name: _mean(area_under(curve, SHARES)) for name, curve in curves.items()}


@dataclass(frozen=True)
class _Known(Attribution):
    """An attribution that was computed before."""

    maps: Tensor

    def _passes(self, quantity: Quantity, shape: torch.Size) -> float:
        return 0

    def attribute(self, quantity: Quantity, x: Tensor, *, track: Any = None) -> Tensor:
        return self.maps

    def _attribute(self, quantity: Quantity, x: Tensor, answers: Tensor) -> Tensor:
        return self.maps


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
