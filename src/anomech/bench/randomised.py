"""Does an attribution change when the weights that it is to explain are thrown away?"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import torch
from scipy import stats
from torch import Tensor, nn

from anomech.auditor import Auditor
from anomech.errors import AnomechError
from anomech.explain.attribution import Attribution, Quantity
from anomech.explain.quantities import Anomaly, Output
from anomech.tasks import ClassificationTask

COMPARED = 4
"""Inputs on which maps are compared."""

Quantities = dict[str, Quantity | None]
"""What is explained of a model, by name; none where there is no such number."""


def of_random_models(auditor: Auditor) -> dict[str, Quantities]:
    """The anomaly and the output of the auditor's model with random weights in its last layer, and in all.

    There is no anomaly where the random model gives all trusted examples one class.
    """
    found: dict[str, Quantities] = {}
    for name, last in (("last_layer", True), ("all_layers", False)):
        model = randomised(auditor.task.model, last=last, seed=auditor.seed)
        task = ClassificationTask(model, device=auditor.task.device)
        anomaly: Quantity | None = None
        with suppress(AnomechError):
            anomaly = Anomaly(Auditor(task, auditor.detector).fit(replace(auditor.reference, y=None)))
        found[name] = {"anomaly": anomaly, "output": Output(task)}
    return found


def resemblance(attribution: Attribution, quantity: Quantity | None, x: Tensor, maps: Tensor) -> float | None:
    """Mean rank correlation of maps `[k, height, width]` of inputs `[k, ...]` with those of a random model.

    Near 1, an attribution shows the input rather than what the model makes of it (Adebayo et al. 2018,
    arXiv 1810.03292).
    """
    if quantity is None:
        return None
    try:
        others = attribution.attribute(quantity, x[:COMPARED])
    except AnomechError:
        return None
    pairs = zip(maps[:COMPARED], others, strict=True)
    correlations = [float(stats.spearmanr(a.flatten(), b.flatten()).statistic) for a, b in pairs]
    return sum(correlations) / len(correlations)


def randomised(model: nn.Module, *, last: bool, seed: int) -> nn.Module:
    """A copy of a model with newly drawn weights in its last layer, or in all that can draw their own."""
    copy = deepcopy(model)
    layers = [layer for layer in copy.modules() if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers[-1:] if last else layers:
            layer.reset_parameters()
    return copy
