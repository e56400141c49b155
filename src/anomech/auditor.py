"""The auditor: task, detector and calibrator, fitted on trusted examples, and its artefact on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anomech.calibration import Calibrator
from anomech.detectors import Detector, GradientSpan
from anomech.errors import ArtefactError, DataError, SettingsError
from anomech.examples import Examples, stratified_split
from anomech.features import Features, GradientSketch
from anomech.io.results import result_directory
from anomech.io.workspace import workspace
from anomech.progress import Track, silent
from anomech.sampling.health import ChainHealth
from anomech.settings import from_plain, to_plain
from anomech.tasks import ClassificationTask, Task
from anomech.verdicts import Verdicts
from anomech.versions import versions

logger = logging.getLogger(__name__)

FORMAT = 1
ENTRIES = {
    "format",
    "detector",
    "calibrator",
    "sampling_share",
    "seed",
    "model_sha256",
    "trusted_ids",
    "layers",
    "health",
    "files",
}
BLOCK = 4096
VOUCHERS = 5
DISTINCT = 0.8
"""Share of trusted examples that should be no copy of another."""
SMALLEST_TRUSTED = 10
REPRODUCED = 16
"""Trusted examples whose features a loaded auditor must find again."""
TOLERANCE = 1e-2
"""Mean change of their features that is accepted, in standard deviations."""


class Auditor:
    """Says for each input whether trusted examples explain how the model got its output.

    Example:
        >>> auditor = Auditor(ClassificationTask(model)).fit(trusted)  # doctest: +SKIP
        >>> verdicts = auditor.audit(inputs)  # doctest: +SKIP

    Args:
        task: The model and its behaviour.
        detector: How anomalous an input is; by default what trusted gradients leave unexplained.
        calibrator: Accepted error rates.
        sampling_share: Share of each trusted class that a sampler takes its gradients on, or a preconditioner its
            curvature, if it is not given examples of its own; these are not scored against.
        seed: Seed of that split.
        track: How progress is reported.
    """

    def __init__(
        self,
        task: Task,
        detector: Detector | None = None,
        *,
        calibrator: Calibrator | None = None,
        sampling_share: float = 0.5,
        seed: int = 0,
        track: Track = silent,
    ) -> None:
        self.task = task
        self.detector = detector or GradientSpan()
        self.calibrator = calibrator or Calibrator()
        self.sampling_share = sampling_share
        self.seed = seed
        self.track = track
        self.health: ChainHealth | None = None
        self.reference: Examples
        self.trusted_scores: Tensor
        self._folder: Path

    def fit(self, trusted: Examples, *, sampling: Examples | None = None) -> Self:
        """Learn what trusted examples look like to this model.

        Args:
            trusted: Examples known to be answered by normal mechanisms; a sampler that takes gradients needs labels.
            sampling: Labelled examples for the sampler's gradients; by default a share of `trusted`.

        Raises:
            DataError: Fewer than ten trusted examples, or all of one class.
            ChainError: The sampling failed.
        """
        self._fit(trusted, sampling)
        return self

    def fit_audit(self, trusted: Examples, inputs: Examples, *, sampling: Examples | None = None) -> Verdicts:
        """What `fit(trusted, sampling=sampling).audit(inputs)` gives, and raises.

        Where weights are sampled, trusted examples and the first block of inputs share one pass over the draws.
        """
        inputs.require_shape_of(trusted)
        blocks = self._blocks(inputs)
        parts = [self._examine(*self._fit(trusted, sampling, next(blocks)))]
        parts += [self._examine(self.extract(block)) for block in blocks]
        return self._verdicts(inputs, parts)

    def extract(self, examples: Examples, *, track: Track | None = None) -> Features:
        """Features of the examples as the fitted detector scores them; progress is reported as ever, or to `track`."""
        return self.detector.features.extract(self.task, examples, self._folder, track=track or self.track)

    def differentiable(self, x: Tensor) -> Tensor:
        """Scores `[m]` of inputs `[m, ...]` that require a gradient, through which one goes back to them.

        Raises:
            SettingsError: The detector's features are no gradients.
        """
        features = self.detector.features
        if not isinstance(features, GradientSketch):
            raise SettingsError(
                f"the scores of {type(self.detector).__name__} are not differentiated with respect to inputs; choose "
                "the detector gradient or coupling, or an attribution without gradients: occlusion."
            )
        return self.detector.score(features.differentiable(self.task, x, self._folder))

    def _fit(self, trusted: Examples, sampling: Examples | None, *ahead: Examples) -> list[Features]:
        """Fit; returns the features of inputs that are going to be scored next."""
        # A detector of our own, and a folder of our own: the caller's may belong to another auditor.
        self.detector = replace(self.detector)
        self._workspace = workspace()
        self._folder = Path(self._workspace.name)
        extractor = self.detector.features
        if extractor.needs_examples and sampling is None:
            trusted, sampling = self._set_aside(trusted)
        for examples in filter(None, (trusted, sampling)):
            self.task.check_labels(examples)
        _check_number(trusted)
        if trusted.y is not None:
            _check_classes(trusted.y)
        if shortfall := self.calibrator.shortfall(len(trusted)):
            logger.warning(shortfall)
        extractor.fit(self.task, trusted if sampling is None else sampling, self._folder, track=self.track)
        features, *others = extractor.extract_each(self.task, [trusted, *ahead], self._folder, track=self.track)
        if trusted.y is None and self.task.has_classes:
            _check_classes(features.predictions)
        self.health = extractor.health(self.task, trusted, features)
        for warning in self.health.warnings if self.health else ():
            logger.warning(warning)
        self.reference = trusted
        self.trusted_scores = self.detector.fit(features).trusted_scores()
        _check_finite(self.trusted_scores, trusted)
        return others

    def audit(self, inputs: Examples) -> Verdicts:
        """Verdicts on inputs, in blocks, so that features and couplings of only so many are held at a time.

        An offline detector is given all inputs as one block.

        Raises:
            DataError: The inputs have another shape than the trusted examples.
        """
        inputs.require_shape_of(self.reference)
        return self._verdicts(inputs, [self._examine(self.extract(block)) for block in self._blocks(inputs)])

    def _verdicts(self, inputs: Examples, parts: Iterable[tuple[Tensor, ...]]) -> Verdicts:
        predictions, scores, couplings, positions, by_layer = (torch.cat(part) for part in zip(*parts, strict=True))
        _check_finite(scores, inputs)
        p, flagged = self.calibrator.judge(self.trusted_scores, scores)
        return Verdicts(
            ids=inputs.ids,
            predictions=predictions,
            scores=scores,
            p_values=p,
            flagged=flagged,
            voucher_positions=positions,
            voucher_couplings=couplings,
            layers=self.detector.layers,
            by_layer=by_layer,
            trusted_ids=self.reference.ids,
            trusted_scores=self.trusted_scores,
            fpr=self.calibrator.fpr,
            fdr=self.calibrator.fdr,
        )

    def stream(self, batches: Iterable[Examples]) -> Iterator[Verdicts]:
        """Verdicts on batches as they come; only one is held, and how inputs are cut into batches changes none.

        Raises:
            SettingsError: A false-discovery rate is asked for, which depends on what else is in the batch, or the
                detector is offline, whose scores do.
        """
        if self.detector.offline:
            raise SettingsError(
                f"{type(self.detector).__name__} scores inputs by what else is in their batch, so verdicts would "
                "depend on how a stream is cut; audit all inputs at once, or stream with another detector."
            )
        if self.calibrator.fdr is not None:
            raise SettingsError("a false-discovery rate needs all inputs at once; audit a stream with fpr.")
        for batch in batches:
            yield self.audit(batch)

    @property
    def warnings(self) -> list[str]:
        """What belongs beside the verdicts: too few trusted examples for the rate, chains in poor health."""
        shortfall = self.calibrator.shortfall(len(self.trusted_scores))
        return [*([shortfall] if shortfall else []), *(self.health.warnings if self.health else [])]

    def save(self, folder: str | Path, *, run: Mapping[str, Any] | None = None) -> None:
        """Write the artefact: `config.json`, `trusted.safetensors`, and what the features need; all or nothing.

        Args:
            folder: Where; an artefact that lies there is replaced.
            run: Settings of the run that fitted it, recorded as they are.
        """
        with result_directory(Path(folder)) as partial:
            (partial / "features").mkdir()
            for file in filter(Path.is_file, self._folder.rglob("*")):
                copy = partial / "features" / file.relative_to(self._folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            layers = {f"features.{name}": v.contiguous() for name, v in self.detector.trusted.layers.items()}
            tensors = {"x": self.reference.x.contiguous(), "predictions": self.detector.trusted.predictions, **layers}
            if self.reference.y is not None:
                tensors["y"] = self.reference.y
            save_file(tensors, partial / "trusted.safetensors")
            config = {"run": run, **self.config(), "files": _hashes(partial)}
            (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path, model: nn.Module | Task, *, track: Track = silent) -> Self:
        """The auditor that `save` wrote.

        Args:
            folder: The artefact.
            model: The audited model; a classifier, or its task.
            track: How progress is reported.

        Raises:
            ArtefactError: The artefact is incomplete or damaged, or was fitted on another model.
        """
        folder = Path(folder)
        config = _read_config(folder)
        task = model if isinstance(model, Task) else ClassificationTask(model)
        _check_files(folder, config["files"])
        if task.model_sha256() != config["model_sha256"]:
            raise ArtefactError(f"{folder} was fitted on another model; give that model, or fit on this one.")
        auditor = cls(
            task,
            from_plain(config["detector"]),
            calibrator=from_plain(config["calibrator"]),
            sampling_share=config["sampling_share"],
            seed=config["seed"],
            track=track,
        )
        auditor._restore(folder, config)
        return auditor

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain data."""
        return {
            "detector": to_plain(self.detector),
            "calibrator": to_plain(self.calibrator),
            "sampling_share": self.sampling_share,
            "seed": self.seed,
            "device": str(self.task.device),
            "batch_size": self.task.batch_size,
        }

    def config(self) -> dict[str, Any]:
        """Settings, versions, and hashes of the model and of the trusted examples."""
        return {
            "format": FORMAT,
            **self.settings(),
            "model_sha256": self.task.model_sha256(),
            "trusted_sha256": self.reference.sha256(),
            "trusted_ids": list(self.reference.ids),
            "layers": list(self.detector.trusted.layers),
            "health": None if self.health is None else vars(self.health),
            "versions": versions(),
        }

    def _restore(self, folder: Path, config: dict[str, Any]) -> None:
        tensors = load_file(folder / "trusted.safetensors")
        self.reference = Examples(x=tensors["x"], y=tensors.get("y"), ids=tuple(config["trusted_ids"]))
        layers = {name: tensors[f"features.{name}"] for name in config["layers"]}
        self.health = None if config["health"] is None else ChainHealth.from_plain(config["health"])
        self.trusted_scores = self.detector.fit(Features(layers, tensors["predictions"])).trusted_scores()
        self._folder = folder / "features"
        self._check_reproduces(folder)

    def _check_reproduces(self, folder: Path) -> None:
        """Equal weights do not make an equal model, nor an equal seed equal draws on another device or version."""
        some = torch.linspace(0, len(self.reference) - 1, REPRODUCED).round().long()
        stored, found = self.detector.trusted[some], self.extract(self.reference[some])
        alike = torch.equal(stored.predictions, found.predictions) and all(
            (found.layers[name] - values).abs().mean() <= TOLERANCE * values.std()
            for name, values in stored.layers.items()
        )
        if not alike:
            raise ArtefactError(
                f"{folder} does not reproduce its trusted examples here: the model answers or is sampled differently "
                "(other preprocessing, device or versions); fit the auditor again."
            )

    def _set_aside(self, trusted: Examples) -> tuple[Examples, Examples]:
        if trusted.y is None and self.task.has_classes and self.detector.features.needs_labels:
            raise DataError(
                "this sampler takes gradients on trusted examples, which need labels; give y, or class subfolders."
            )
        answers = self.task.predict(trusted) if trusted.y is None else trusted.y
        ours, others = stratified_split(answers, self.sampling_share, seed=self.seed)
        # Where there are no classes, what the model answered is all that its loss can be taken against.
        sampling = trusted if self.task.has_classes else replace(trusted, y=answers)
        return trusted[others], sampling[ours]

    def _blocks(self, inputs: Examples) -> Iterator[Examples]:
        return inputs.blocks(len(inputs) if self.detector.offline else BLOCK)

    def _examine(self, features: Features) -> tuple[Tensor, ...]:
        """Predictions, and what the detector says."""
        return features.predictions, *self.detector.examine(features, min(VOUCHERS, len(self.reference)))


def _check_number(trusted: Examples) -> None:
    if len(trusted) < SMALLEST_TRUSTED:
        raise DataError(
            f"{len(trusted)} trusted examples to score against are too few; "
            f"give at least {SMALLEST_TRUSTED}, better hundreds."
        )
    distinct = len({row.numpy().tobytes() for row in trusted.x})
    if distinct < SMALLEST_TRUSTED:
        raise DataError(
            f"only {distinct} of {len(trusted)} trusted examples are different; give at least {SMALLEST_TRUSTED}."
        )
    if distinct < DISTINCT * len(trusted):
        logger.warning(
            "only %d of %d trusted examples are different; copies vouch for one another, so p-values are too small.",
            distinct,
            len(trusted),
        )


def _check_classes(classes: Tensor) -> None:
    if len(classes.unique()) == 1:
        raise DataError(
            f"all {len(classes)} trusted examples are of class {int(classes[0])}; "
            "give examples of every class that the model is used on."
        )


def _check_finite(scores: Tensor, examples: Examples) -> None:
    if not scores.isfinite().all():
        first = examples.ids[int((~scores.isfinite()).nonzero()[0])]
        raise DataError(
            f"the score of {first!r} is NaN or infinite: its features are too large or too small for these settings."
        )


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): _sha256(f) for f in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_files(folder: Path, expected: Mapping[str, str]) -> None:
    for name, sha256 in expected.items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise ArtefactError(f"{folder} is damaged: {name} is missing or has changed; fit the auditor again.")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = dict(json.loads((folder / "config.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ArtefactError(f"{folder} is not a complete artefact ({error}); fit the auditor again.") from error
    if missing := ENTRIES - config.keys():
        raise ArtefactError(f"{folder} is damaged: its config.json lacks {min(missing)!r}; fit the auditor again.")
    if config["format"] != FORMAT:
        raise ArtefactError(f"{folder} has format {config['format']!r}, this version reads {FORMAT}; fit again.")
    return config
