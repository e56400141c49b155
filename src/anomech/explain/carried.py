"""Which directions of the weights carry the flagged inputs of a cluster, and what becomes of these without them."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from anomech.auditor import Auditor
from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.explain.mechanisms import Mechanisms
from anomech.explain.removal import without
from anomech.explain.weight_directions import FEWEST, WeightDirections, weight_directions
from anomech.progress import Track, silent
from anomech.tasks import Task

logger = logging.getLogger(__name__)

ANOMALOUS = 0.5
"""Share of a cluster that is flagged, at least, if it is taken for one of anomalies."""
MOST = 3
"""Clusters that are looked at, the largest first: one mechanism may fall into many."""


@dataclass(frozen=True)
class CarriedCluster:
    """A cluster of anomalies, and the directions of the weights that carry it.

    Attributes:
        cluster: Which, from 0.
        directions: One a layer, found on half of its flagged inputs; what is told of them is of the other half.
        flagged: Share of the inputs of that cluster that were flagged before which an auditor of the model without the
            directions flags, fitted on the same trusted examples; None where that model cannot be audited.
    """

    cluster: int
    directions: WeightDirections
    flagged: float | None

    def plain(self) -> dict[str, Any]:
        """As JSON takes it; clusters are counted from 1, as in the report."""
        return {"cluster": self.cluster + 1, "still_flagged": self.flagged, **self.directions.plain()}


def carried_clusters(
    auditor: Auditor, inputs: Examples, flagged: Tensor, mechanisms: Mechanisms, *, track: Track = silent
) -> tuple[CarriedCluster, ...]:
    """Of the largest clusters of anomalies that have enough flagged inputs; none where the model is no classifier.

    Args:
        auditor: Fitted; its model is not changed.
        inputs: What it judged.
        flagged: Which of them it flagged, bool `[n]`.
        mechanisms: Clusters of the inputs.
        track: How progress is reported.
    """
    if not auditor.task.has_classes or int((~flagged).sum()) < 2 * FEWEST:
        return ()
    found: list[CarriedCluster] = []
    for cluster in range(len(mechanisms.typical)):
        if len(found) == MOST:
            break
        members = mechanisms.positions[mechanisms.clusters == cluster]
        anomalies = members[flagged[members]]
        if len(anomalies) < max(2 * FEWEST, ANOMALOUS * len(members)):
            continue
        chosen = inputs[anomalies]
        try:
            directions = weight_directions(
                auditor.task, auditor.reference, clean=inputs[~flagged], cluster=chosen, seed=auditor.seed, track=track
            )
        except SettingsError as error:
            logger.warning("which weights carry cluster %d is not told: %s", cluster + 1, error)
            continue
        changed = without(auditor.task.model, directions.carriers)
        # The directions were found on the first of every two.
        found.append(
            CarriedCluster(
                cluster, directions, _still_flagged(auditor, changed, chosen[torch.arange(1, len(chosen), 2)])
            )
        )
    return tuple(found)


def _still_flagged(auditor: Auditor, model: nn.Module, inputs: Examples) -> float | None:
    other = Auditor(_task_of(auditor.task, model), auditor.detector, calibrator=auditor.calibrator, seed=auditor.seed)
    try:
        return float(other.fit_audit(auditor.reference, inputs).flagged.double().mean())
    except DataError as error:
        logger.warning("the model without these directions is not audited: %s", error)
        return None


def _task_of(task: Task, model: nn.Module) -> Task:
    """The same task of a changed copy of its model."""
    other = copy.copy(task)
    other.model = model
    return other
