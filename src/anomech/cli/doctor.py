"""`anomech doctor`: versions, device, and a check that verdicts do not depend on the batch size."""

from __future__ import annotations

import torch
import typer

from anomech.auditor import Auditor
from anomech.cli.console import FAILED, FOUND_NOTHING, results, track
from anomech.detectors import Detector, GradientSpan, TraceCoupling
from anomech.features import LossTraces
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.sampling import RMSpropSGLD
from anomech.tasks import ClassificationTask
from anomech.verdicts import Verdicts
from anomech.versions import device, versions

TOLERANCE = 1e-3
"""Largest difference of a score between batch sizes, in the range of all scores."""

DETECTORS = {
    "gradient": GradientSpan(),
    "sampling": TraceCoupling(features=LossTraces(RMSpropSGLD(chains=1, draws=20, burn_in=10))),
}


def command() -> None:
    """Is this machine fit to audit on?"""
    for name, version in versions().items():
        results.print(f"{name:14} {version}")
    results.print(f"{'device':14} {device()}\n{'threads':14} {torch.get_num_threads()}")
    passed = [_check(name, detector) for name, detector in DETECTORS.items()]
    raise typer.Exit(FOUND_NOTHING if all(passed) else FAILED)


def _check(name: str, detector: Detector) -> bool:
    """Print how much scores change between batch sizes; returns whether that is little."""
    small, large = (_verdicts(detector, batch_size=size).scores for size in (7, 256))
    difference = ((small - large).abs().max() / (large.max() - large.min())).item()
    passed = difference <= TOLERANCE
    verdict = "ok" if passed else "FAILED: do not compare runs with different batch sizes on this machine"
    results.print(
        f"{name:14} largest change of a score between 7 and 256 inputs a batch: {difference:.0e} of their range, "
        f"{verdict}",
        soft_wrap=True,
    )
    return passed


def _verdicts(detector: Detector, *, batch_size: int) -> Verdicts:
    trusted, inputs = demo_split(trusted=200)
    task = ClassificationTask(shipped_model(), batch_size=batch_size)
    auditor = Auditor(task, detector, track=track).fit(trusted)
    return auditor.audit(inputs[torch.arange(0, len(inputs), 20)])
