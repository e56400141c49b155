"""Fingerprints: is a derived model traced to its base, and one of a base that is not known to none?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

import torch
from scipy.stats import binomtest
from torch import Tensor

from anomech.bench.bases import bases
from anomech.bench.lineage import BASE, HARD, MERGED, OTHERWISE, TUNED, Lineage
from anomech.bench.setup import Setup
from anomech.bench.suite import Row
from anomech.diffing.fingerprints import DRAWS, Identification, identify
from anomech.errors import DataError

logger = logging.getLogger(__name__)

COLUMNS = [
    "study",
    "known",
    "detector",
    "organism",
    "kind",
    "n_models",
    "right",
    "right_low",
    "right_high",
    "unknown",
    "named_another",
    "refused",
    "nearest_right",
    "own_distance",
    "other_distance",
    "threshold",
    "moved",
    "loss_before",
    "loss_after",
]

JUDGED = (
    TUNED,
    HARD,
    MERGED,
    "pruned 30 %",
    "pruned 50 %",
    "quantised int8",
    "quantised int4",
    "noised 1 %",
    "noised 5 %",
    "bfloat16",
)
"""How the models that are judged were derived; none of these models is known."""
KNOWN = {
    "base and 4 copies": (BASE, OTHERWISE, "pruned 40 %", "quantised int6", "noised 2 %"),
    "base and 3 untrained copies": (BASE, "pruned 40 %", "quantised int6", "noised 2 %"),
    "base and a noised copy": (BASE, "noised 2 %"),
}
"""What is known of each base."""
SIBLINGS = (("llama a", "gpt2 a"), ("llama b", "gpt2 b"))
"""Bases of the same architectures; without those of one list, no two known ones are of the same."""
CONFIDENCE = 0.95

Families = Mapping[str, Mapping[str, Tensor]]
"""Fingerprints by base and kind."""

DETECTORS: dict[str, Callable[[Row], Tensor]] = {
    "gradients": lambda row: _tensor(row["fingerprint"]),
    "gradients, draws averaged": lambda row: _tensor(row["fingerprint"]).view(DRAWS, -1).mean(0),
    "weights": lambda row: _tensor(row["moments"]),
}
"""The fingerprint; averaged as in the paper; and what a sceptic tries first, the same statistics of the weights."""

USUAL, DEFAULT = next(iter(KNOWN)), next(iter(DETECTORS))
"""Of which all parts are shown."""


@dataclass(frozen=True)
class Judgement:
    """What a model was taken for.

    Attributes:
        base: What it was derived from.
        kind: How.
        found: What `identify` says of it; None where it refuses what is known of the bases.
    """

    base: str
    kind: str
    found: Identification | None

    @property
    def is_right(self) -> bool:
        """Was its base named?"""
        return self.found is not None and self.found.base == self.base

    @property
    def is_unknown(self) -> bool:
        """Was it said to be derived from none?"""
        return self.found is not None and self.found.base is None


def rows(setup: Setup) -> Iterator[Row]:
    """What becomes of models of known bases and of others; then, of known ones, by kind, by base, and each by itself.

    Raises:
        DataError: There is no folder of the base model among the data, or a text is missing.
    """
    models = {base.name: Lineage(base, setup).rows() for base in bases(setup)}
    families = {
        detector: {base: {kind: read(row) for kind, row in kinds.items()} for base, kinds in models.items()}
        for detector, read in DETECTORS.items()
    }
    for (known, kinds), detector in product(KNOWN.items(), DETECTORS):
        for row in totals(families[detector], kinds):
            yield {"known": known, "detector": detector, **row, "seed": setup.seed}
    for known, kinds in KNOWN.items():
        judgements = judge(families[DEFAULT], kinds)
        for row in by_kind(judgements) if known != USUAL else parts(judgements, models):
            yield {"known": known, "detector": DEFAULT, **row, "seed": setup.seed}


def totals(families: Families, kinds: Sequence[str]) -> Iterator[Row]:
    """Over all models: of known bases, of a base that is left out, and of one that only a sibling is known of.

    Args:
        families: All fingerprints.
        kinds: What is known of each base.
    """
    yield {"study": "base known", **figures(judge(families, kinds))}
    left_out = [one for base in families for one in judge(families, kinds, without=[base])]
    yield {"study": "base not known", **_unseen(left_out)}
    siblings = [one for bases in SIBLINGS for one in judge(families, kinds, without=bases)]
    yield {"study": "sibling known", **_unseen(siblings)}


def by_kind(judgements: Sequence[Judgement]) -> Iterator[Row]:
    """Models of known bases by how they were derived."""
    for kind in JUDGED:
        yield {"study": "kind", "kind": kind, **figures([one for one in judgements if one.kind == kind])}


def parts(judgements: Sequence[Judgement], models: Mapping[str, Mapping[str, Row]]) -> Iterator[Row]:
    """Models of known bases by how they were derived, by base, and each by itself."""
    yield from by_kind(judgements)
    for base in models:
        yield {"study": "base", "organism": base, **figures([one for one in judgements if one.base == base])}
    for one in judgements:
        made = {key: models[one.base][one.kind][key] for key in ("moved", "loss_before", "loss_after")}
        # An interval of a single model says nothing.
        apart = {**figures([one]), "right_low": None, "right_high": None}
        yield {"study": "model", "organism": one.base, "kind": one.kind, **apart, **made}


def judge(families: Families, kinds: Sequence[str], *, without: Sequence[str] = ()) -> list[Judgement]:
    """What models are taken for.

    Args:
        families: All fingerprints.
        kinds: What is known of each base.
        without: Bases that are left out of what is known. If there are any, they and their models are judged; else
            the models of all.
    """
    known = {base: [members[kind] for kind in kinds] for base, members in families.items() if base not in without}
    asked = [(base, kind) for base in without or known for kind in ((BASE, *JUDGED) if without else JUDGED)]
    return [_judgement(base, kind, families[base][kind], known) for base, kind in asked]


def figures(judgements: Sequence[Judgement]) -> Row:
    """How many models of known bases were traced to these, and how far they lie from them and from the nearest others.

    The interval takes models for independent, which those of one base are not.
    """
    interval = binomtest(sum(one.is_right for one in judgements), len(judgements)).proportion_ci(CONFIDENCE)
    told = [(one.base, one.found) for one in judgements if one.found]
    return {
        "n_models": len(judgements),
        "right": _share([one.is_right for one in judgements]),
        "right_low": float(interval.low),
        "right_high": float(interval.high),
        **_answers(judgements),
        "nearest_right": _share([next(iter(found.distances)) == base for base, found in told]),
        "own_distance": _median([found.distances[base] for base, found in told]),
        "other_distance": _median([_to_others(base, found) for base, found in told]),
        "threshold": _median([found.threshold for _, found in told]),
    }


def _unseen(judgements: Sequence[Judgement]) -> Row:
    """What models are taken for whose base is not known."""
    told = [(one.base, one.found) for one in judgements if one.found]
    return {
        "n_models": len(judgements),
        **_answers(judgements),
        "other_distance": _median([_to_others(base, found) for base, found in told]),
        "threshold": _median([found.threshold for _, found in told]),
    }


def _answers(judgements: Sequence[Judgement]) -> Row:
    unknown = [one.is_unknown for one in judgements]
    refused = [one.found is None for one in judgements]
    another = [not (one.is_right or one.is_unknown or one.found is None) for one in judgements]
    return {"unknown": _share(unknown), "named_another": _share(another), "refused": _share(refused)}


def _judgement(base: str, kind: str, one: Tensor, known: Mapping[str, Sequence[Tensor]]) -> Judgement:
    try:
        return Judgement(base, kind, identify(one, known))
    except DataError as error:
        logger.warning("%s, %s: %s", base, kind, error)
        return Judgement(base, kind, None)


def _to_others(base: str, found: Identification) -> float:
    return min(distance for name, distance in found.distances.items() if name != base)


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _share(which: Sequence[bool]) -> float | None:
    return sum(which) / len(which) if which else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
