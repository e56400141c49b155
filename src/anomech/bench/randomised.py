"""Does an attribution change when the weights that it is to explain are thrown away?"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from scipy import stats
from torch import Tensor, nn

from anomech.auditor import Auditor
from anomech.errors import AnomechError, DataError
from anomech.explain.attribution import Attribution, Quantity
from anomech.explain.quantities import Anomaly, Output
from anomech.organisms.networks import Network
from anomech.organisms.training import Recipe, share_predicted
from anomech.progress import Track, silent
from anomech.tasks import ClassificationTask

COMPARED = 4
"""Inputs on which maps are compared."""

MEMORISING = Recipe(epochs=60, batch_size=50, learning_rate=1e-2, weight_decay=0.0)
"""Training on random labels."""
MEMORISED = 0.95
"""Share of the random labels that the network has to know then."""

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


def of_relabelled_model(auditor: Auditor, *, cache: Path, track: Track = silent) -> Quantities:
    """The anomaly and the output of the auditor's model, trained from the start on trusted examples of random labels.

    Such a network knows its images, and nothing that they have in common (Adebayo et al. 2018, section 4).

    Args:
        auditor: Fitted, on examples with labels.
        cache: Folder of trained networks.
        track: How progress is reported.

    Raises:
        DataError: The network did not learn the random labels.
    """
    x, classes, seed = auditor.reference.x, auditor.reference.y, auditor.seed
    assert classes is not None
    labels = classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))]
    network = Network(
        name="relabelled",
        build=partial(randomised, auditor.task.model, last=False, seed=seed),
        recipe=replace(MEMORISING, seed=seed),
        data={"trusted": auditor.reference.sha256(), "labels": labels.tolist()},
    )
    model = network.load(x, labels, cache=cache, track=track)
    if (known := share_predicted(model, x, labels)) < MEMORISED:
        raise DataError(f"a network learnt {known:.0%} of the random labels, which is too few to compare with.")
    task = ClassificationTask(model, device=auditor.task.device)
    unlabelled = replace(auditor.reference, y=None)
    return {"anomaly": Anomaly(Auditor(task, auditor.detector).fit(unlabelled)), "output": Output(task)}


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
    pairs = [(a.flatten(), b.flatten()) for a, b in zip(maps[:COMPARED], others, strict=True)]
    # A map of one value, such as of an input that is not anomalous to the other model, ranks nothing.
    ranking = [pair for pair in pairs if all(one.unique().numel() > 1 for one in pair)]
    correlations = [float(stats.spearmanr(*pair).statistic) for pair in ranking]
    return sum(correlations) / len(correlations) if correlations else None


def randomised(model: nn.Module, *, last: bool, seed: int) -> nn.Module:
    """A copy of a model with newly drawn weights in its last layer, or in all that can draw their own."""
    copy = deepcopy(model)
    layers = [layer for layer in copy.modules() if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers[-1:] if last else layers:
            layer.reset_parameters()
    return copy
