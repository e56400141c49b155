"""A run: its settings as plain data, so that it can be written down and repeated, and what each kind of run does."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from anomech.auditor import BLOCK, Auditor
from anomech.calibration import Calibrator
from anomech.cli.console import messages, track
from anomech.detectors import Detector
from anomech.errors import ArtefactError, SettingsError
from anomech.estimate import check_disk, estimate
from anomech.examples import Examples
from anomech.io import check_replaceable, load_examples, load_model
from anomech.measure import Usage, measured
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.settings import from_plain, to_plain
from anomech.tasks import ClassificationTask
from anomech.verdicts import Verdicts

QUICK = 2.0
"""Seconds below which a run does not say beforehand what it will take."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that decides what a run finds.

    Attributes:
        command: Which command it is.
        detector: Settings of the detector, plain.
        calibrator: Settings of the calibrator, plain.
        model: SPEC of the model.
        trusted: Trusted examples.
        inputs: Inputs to score.
        artefact: The fitted auditor that `score` reads.
        seed: Seed of the splits; the sampler's own lies in the detector's settings.
        batch_size: Inputs a forward pass.
        device: Where the model runs.
    """

    command: Literal["demo", "audit", "fit", "score"]
    detector: dict[str, Any] | None = None
    calibrator: dict[str, Any] | None = None
    model: str | None = None
    trusted: str | None = None
    inputs: str | None = None
    artefact: str | None = None
    seed: int = 0
    batch_size: int = 256
    device: str | None = None

    @classmethod
    def of(
        cls, command: Literal["demo", "audit", "fit"], detector: Detector, *, fpr: float, fdr: float | None, **rest: Any
    ) -> Self:
        """A run with these settings; paths are made absolute, so that it can be repeated from anywhere."""
        calibrator = to_plain(Calibrator(fpr=fpr, fdr=fdr))
        return cls(command=command, detector=to_plain(detector), calibrator=calibrator, **rest)

    @classmethod
    def read(cls, config: Path) -> Self:
        """The run that a `config.json` records.

        Raises:
            ArtefactError: The file is missing, damaged, or of another version.
        """
        try:
            recorded = json.loads(config.read_text())["run"]
            return cls(**{f.name: recorded[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{config} does not record a run ({error}); give the config.json of a run.") from error

    def plain(self) -> dict[str, Any]:
        """The settings, for `config.json`."""
        return asdict(self)

    def task(self) -> ClassificationTask:
        """The audited model."""
        model = shipped_model() if self.model is None else load_model(self.model)
        try:
            return ClassificationTask(model, batch_size=self.batch_size, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"cannot use device {self.device!r} ({reason}); choose another --device.") from error

    def auditor(self, task: ClassificationTask) -> Auditor:
        """An auditor with these settings, not fitted yet."""
        calibrator = from_plain(self.calibrator)
        return Auditor(task, from_plain(self.detector), calibrator=calibrator, seed=self.seed, track=track)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run found, and what it took."""

    auditor: Auditor
    inputs: Examples
    verdicts: Verdicts
    usage: Usage


def load_trusted(run: Run, task: ClassificationTask) -> Examples:
    """The trusted examples of a run, with labels."""
    if run.trusted is None:
        return demo_split(seed=run.seed)[0]
    return load_examples(Path(run.trusted), labelled=True, classes=task.count_classes, track=track)


def load_inputs(run: Run, task: ClassificationTask) -> Examples:
    """The inputs of a run."""
    if run.inputs is None:
        return demo_split(seed=run.seed)[1]
    return load_examples(Path(run.inputs), labelled=False, classes=task.count_classes, track=track)


def prepare(run: Run, task: ClassificationTask, trusted: Examples, *, inputs: int, out: Path) -> Auditor:
    """Say what the run will take; returns its auditor, to be fitted."""
    check_replaceable(out)
    auditor = run.auditor(task)
    predicted = estimate(task, auditor.detector.features, trusted, inputs, block=BLOCK)
    if predicted.seconds > QUICK:
        messages.print(f"[dim]{len(trusted):,} trusted examples, {inputs:,} inputs: {predicted}[/dim]", soft_wrap=True)
    for folder in (out, Path(tempfile.gettempdir())):
        check_disk(predicted.disk_mb, folder)
    return auditor


def fit_audit(auditor: Auditor, trusted: Examples, inputs: Examples) -> Outcome:
    """Fit, and judge the inputs."""
    with measured(auditor.task) as usage:
        verdicts = auditor.fit_audit(trusted, inputs)
    return Outcome(auditor=auditor, inputs=inputs, verdicts=verdicts, usage=usage)
