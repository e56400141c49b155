"""`anomech doctor`: versions, device, and a check that verdicts do not depend on the batch size."""

from __future__ import annotations

import torch
import typer

from anomech.auditor import Auditor
from anomech.cli.console import FAILED, FOUND_NOTHING, results, track
from anomech.detectors import TraceCoupling
from anomech.features import LossTraces
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.sampling import RMSpropSGLD
from anomech.tasks import ClassificationTask
from anomech.verdicts import Verdicts
from anomech.versions import versions

TOLERANCE = 1e-3
"""Largest difference of a score between batch sizes; scores lie in [-1, 1]."""


def command() -> None:
    """Is this machine fit to audit on?"""
    for name, version in versions().items():
        results.print(f"{name:14} {version}")
    device = f"cuda ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "cpu"
    results.print(f"{'device':14} {device}\n{'threads':14} {torch.get_num_threads()}")
    small, large = _verdicts(batch_size=7), _verdicts(batch_size=256)
    difference = (small.scores - large.scores).abs().max().item()
    passed = difference <= TOLERANCE
    verdict = "ok" if passed else "FAILED: do not compare runs with different batch sizes on this machine"
    results.print(
        f"{'batch size':14} largest change of a score between 7 and 256 inputs a batch: {difference:.1e}, {verdict}"
    )
    raise typer.Exit(FOUND_NOTHING if passed else FAILED)


def _verdicts(*, batch_size: int) -> Verdicts:
    trusted, inputs = demo_split(trusted=200)
    sampler = RMSpropSGLD(chains=1, draws=20, burn_in=10)
    task = ClassificationTask(shipped_model(), batch_size=batch_size)
    auditor = Auditor(task, TraceCoupling(features=LossTraces(sampler)), track=track).fit(trusted)
    return auditor.audit(inputs[torch.arange(0, len(inputs), 20)])
