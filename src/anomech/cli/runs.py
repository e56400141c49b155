"""A run: its settings as plain data, so that it can be written down and repeated, and what each kind of run does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from anomech.auditor import BLOCK, Auditor
from anomech.calibration import Calibrator
from anomech.cli.console import messages, track
from anomech.detectors import Detector
from anomech.errors import ArtefactError, SettingsError
from anomech.estimate import check_disk, duration, estimate, seconds_per_pass
from anomech.examples import Examples
from anomech.explain.attribution import Attribution
from anomech.explain.carried import CarriedCluster, carried_clusters
from anomech.explain.erasure import Erasure, erase_further
from anomech.explain.explanations import Explainer, Explanations
from anomech.explain.kept_maps import KeptMaps
from anomech.explain.mechanisms import Mechanisms, map_mechanisms
from anomech.explain.quantities import Anomaly
from anomech.explain.texts import text_explainer
from anomech.explain.tokens import score_tokens
from anomech.io import load_examples, load_model
from anomech.io.conversations import NEW_TOKENS, Unanswered, read_conversations
from anomech.io.hub import local_folder
from anomech.io.language_models import Tokenizer, is_causal_lm, is_text_classifier, load_pretrained, load_tokenizer
from anomech.io.texts import read_texts
from anomech.measure import Usage, measured
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.report import CARDS, pictured
from anomech.settings import from_plain, to_plain
from anomech.tasks import CausalLMTask, ClassificationTask, SequenceClassificationTask, Task
from anomech.verdicts import Verdicts
from anomech.versions import versions

SPREAD = "auto"
"""Device that stands for all of them."""

QUICK = 2.0
"""Seconds below which a run does not say beforehand what it will take."""

AFFORDABLE = 200
"""Forward passes up to which an explanation is made without being asked for."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that decides what a run finds.

    Attributes:
        command: Which command it is.
        detector: Settings of the detector, plain.
        calibrator: Settings of the calibrator, plain.
        model: SPEC of the model.
        tuned: SPEC of what was fine-tuned from it, to compare it with.
        adapter: peft adapter that is put on it.
        dtype: What the weights of a language model or text classifier are held in.
        trusted: Trusted examples.
        directions: How many of the sharpest directions of their loss are looked at.
        texts: Texts on which both models' activations are compared.
        layer: Block after which; None for one a little beyond the middle.
        base: SPEC of what the model was made from, whose difference to it is looked at.
        layers: Modules of whose weights directions are sought; None for all.
        rank: How many directions of each.
        inputs: Inputs to score.
        artefact: The fitted auditor that `score` reads.
        seed: Seed of the splits; the sampler's own lies in the detector's settings.
        batch_size: Inputs a forward pass.
        new_tokens: Longest completion that a language model gives.
        mapped: Whether inputs are grouped by mechanism.
        explained: Of how many flagged inputs at most it is found out where the anomaly sits; None leaves it to what
            that takes.
        device: Where the model runs.
    """

    command: Literal["demo", "audit", "fit", "score", "diff", "geometry"]
    detector: dict[str, Any] | None = None
    calibrator: dict[str, Any] | None = None
    model: str | None = None
    tuned: str | None = None
    adapter: str | None = None
    dtype: str = "float32"
    trusted: str | None = None
    directions: int = 20
    texts: str | None = None
    layer: int | None = None
    base: str | None = None
    layers: str | None = None
    rank: int = 1
    inputs: str | None = None
    artefact: str | None = None
    seed: int = 0
    batch_size: int = 256
    new_tokens: int = NEW_TOKENS
    mapped: bool = False
    explained: int | None = None
    device: str | None = None

    @classmethod
    def of(
        cls,
        command: Literal["demo", "audit", "fit", "geometry"],
        detector: Detector,
        *,
        fpr: float,
        fdr: float | None,
        **rest: Any,
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

    def task(self) -> Task:
        """The audited model."""
        model = (
            shipped_model()
            if self.model is None
            else load_model(
                self.model,
                None if self.adapter is None else Path(self.adapter),
                dtype=getattr(torch, self.dtype),
                spread=self.device == SPREAD,
            )
        )
        device = None if self.device == SPREAD else self.device
        try:
            return self._kind(model, batch_size=self.batch_size, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"cannot use device {self.device!r} ({reason}); choose another --device.") from error

    @cached_property
    def language_model(self) -> Path | None:
        """The folder of the model, if it is a language model."""
        return self._folder if self._folder is not None and is_causal_lm(self._folder) else None

    @cached_property
    def text_classifier(self) -> Path | None:
        """The folder of the model, if it is a text classifier."""
        return self._folder if self._folder is not None and is_text_classifier(self._folder) else None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """That of the language model."""
        assert self.language_model is not None
        return load_tokenizer(self.language_model)

    @cached_property
    def text_tokenizer(self) -> Any:
        """The Hugging Face tokenizer of the text classifier."""
        assert self.text_classifier is not None
        return load_pretrained(self.text_classifier, "AutoTokenizer")

    @cached_property
    def _folder(self) -> Path | None:
        return None if self.model is None else local_folder(self.model)

    @property
    def _kind(self) -> type[CausalLMTask | ClassificationTask]:
        if self.language_model is not None:
            return CausalLMTask
        return ClassificationTask if self.text_classifier is None else SequenceClassificationTask

    def auditor(self, task: Task) -> Auditor:
        """An auditor with these settings, not fitted yet."""
        calibrator = from_plain(self.calibrator)
        return Auditor(task, from_plain(self.detector), calibrator=calibrator, seed=self.seed, track=track)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run found, and what it took.

    Attributes:
        auditor: Fitted.
        inputs: What it judged.
        verdicts: One an input.
        mechanisms: Clusters of the inputs, if they were asked for.
        carried: Those of anomalies, and the directions of the weights that carry them.
        explanations: Where the anomalies of some flagged inputs sit.
        token_scores: Of the inputs that the report shows as cards, by position; empty unless they are completions.
        usage: What all of it took but the explanations and the directions.
        explaining: What these took.
    """

    auditor: Auditor
    inputs: Examples
    verdicts: Verdicts
    mechanisms: Mechanisms | None
    carried: Sequence[CarriedCluster]
    explanations: Explanations | None
    token_scores: Mapping[int, Sequence[float]]
    usage: Usage
    explaining: Usage


def load_trusted(run: Run, task: Task) -> Examples:
    """The trusted examples of a run, with labels where the model has classes."""
    if run.trusted is None:
        return demo_split(seed=run.seed)[0]
    return _load(run, task, Path(run.trusted), labelled=True)


def check_inputs(run: Run, task: Task) -> None:
    """Raises what `load_inputs` would say of the inputs of a language model, before it answers a single prompt."""
    if isinstance(task, CausalLMTask):
        _read(run, task, Path(str(run.inputs)))


def load_inputs(run: Run, task: Task) -> Examples:
    """The inputs of a run."""
    if run.inputs is None:
        return demo_split(seed=run.seed)[1]
    return _load(run, task, Path(run.inputs), labelled=False)


def _load(run: Run, task: Task, path: Path, *, labelled: bool) -> Examples:
    if isinstance(task, CausalLMTask):
        read = _read(run, task, path)
        return read.answered(task, end=run.tokenizer.end, new_tokens=run.new_tokens, track=track)
    if isinstance(task, SequenceClassificationTask):
        return read_texts(path, run.text_tokenizer, task.model.config)
    classes = task.count_classes if isinstance(task, ClassificationTask) else None
    return load_examples(path, labelled=labelled, classes=classes, track=track)


def _read(run: Run, task: CausalLMTask, path: Path) -> Unanswered:
    return read_conversations(path, run.tokenizer, task.model.config, new_tokens=run.new_tokens)


def prepare(run: Run, task: Task, trusted: Examples, *, inputs: int, out: Path) -> Auditor:
    """Say what the run will take; returns its auditor, to be fitted."""
    auditor = run.auditor(task)
    check_explained(run, auditor, trusted)
    tokens = min(inputs, CARDS) * run.new_tokens if isinstance(task, CausalLMTask) else 0
    predicted = estimate(task, auditor.detector.features, trusted, inputs + tokens, block=BLOCK)
    if predicted.seconds > QUICK:
        messages.print(f"[dim]{len(trusted):,} trusted examples, {inputs:,} inputs: {predicted}[/dim]", soft_wrap=True)
    for folder in (out, Path(tempfile.gettempdir())):
        check_disk(predicted.disk_mb, folder)
    return auditor


def fit_audit(run: Run, auditor: Auditor, trusted: Examples, inputs: Examples, *, out: Path) -> Outcome:
    """Fit, judge the inputs, group them by mechanism where the run maps them, and explain some.

    At most `run.explained` flagged inputs are: by default as many as the report shows, where that takes no more than
    is affordable. With 0, tokens of completions are not scored either, which only a report needs. The map of each is
    kept beside `out` until the result is there, so that a run that was cut off does not explain it again.
    """
    return _outcome(run, auditor, inputs, lambda: auditor.fit_audit(trusted, inputs), out)


def audit(run: Run, auditor: Auditor, inputs: Examples, *, out: Path) -> Outcome:
    """The same with an auditor that is fitted."""
    return _outcome(run, auditor, inputs, lambda: auditor.audit(inputs), out)


def maps_folder(out: Path) -> Path:
    """Where maps are kept until the result is in `out`."""
    return out.resolve().with_name(f".{out.resolve().name}.maps")


def _outcome(run: Run, auditor: Auditor, inputs: Examples, judge: Callable[[], Verdicts], out: Path) -> Outcome:
    with measured(auditor.task) as usage:
        verdicts = judge()
        mechanisms = map_mechanisms(auditor, inputs, verdicts.flagged) if run.mapped else None
        token_scores = _token_scores(auditor, inputs, verdicts) if run.explained != 0 else {}
    carried: Sequence[CarriedCluster] = ()
    if mechanisms is not None:
        carried = carried_clusters(auditor, inputs, verdicts.flagged, mechanisms, track=track)
    explainer, further = _explainer(run, auditor.task), _further(run, auditor, inputs)
    chosen = _to_explain(explainer, further, auditor, inputs, verdicts, run.explained)
    keep = _keeper(run, auditor, out)
    with measured(auditor.task) as explaining:
        explanations = None
        if len(chosen):
            explainer = replace(explainer, attribution=keep(explainer.attribution))
            explanations = explainer.explain(auditor, inputs, verdicts, chosen, track=track)
            if further is not None:
                explanations = erase_further(auditor, inputs, explanations, erasure=keep(further), track=track)
    return Outcome(
        auditor=auditor,
        inputs=inputs,
        verdicts=verdicts,
        mechanisms=mechanisms,
        carried=carried,
        explanations=explanations,
        token_scores=token_scores,
        usage=usage,
        explaining=explaining,
    )


def check_explained(run: Run, auditor: Auditor, trusted: Examples) -> None:
    """Raises SettingsError where explanations are asked for that neither the inputs nor the detector allow."""
    if run.explained:
        explainer = _explainer(run, auditor.task)
        explainer.eraser.places(trusted.x)
        explainer.passes(auditor, trusted.x.shape[1:])


def _explainer(run: Run, task: Task) -> Explainer:
    """How inputs of the kind that the model reads are explained."""
    if not isinstance(task, CausalLMTask):
        return Explainer()
    return text_explainer(task, run.tokenizer, new_tokens=run.new_tokens)


def _further(run: Run, auditor: Auditor, inputs: Examples) -> Erasure | None:
    """What is done where hiding the places that add most is not enough; it is costly, so explanations are asked for."""
    return Erasure() if run.explained and Erasure.goes_with(auditor, inputs.x) else None


def _keeper(run: Run, auditor: Auditor, out: Path) -> Callable[[Attribution], Attribution]:
    """What makes an attribution keep its maps, so that a later run like this one does not compute them again."""
    made_of = {
        "run": replace(run, explained=None).plain(),
        "model": auditor.task.model_sha256(),
        "trusted": auditor.reference.sha256(),
        "versions": versions(),
    }
    return partial(KeptMaps, folder=maps_folder(out), made_of=made_of)


def _to_explain(
    explainer: Explainer,
    further: Erasure | None,
    auditor: Auditor,
    inputs: Examples,
    verdicts: Verdicts,
    count: int | None,
) -> Tensor:
    """Positions of the most anomalous of the flagged inputs, at most so many; says what explaining them will take.

    Prompts without text are passed over.
    """
    shape = inputs.x.shape[1:]
    if count is None:
        shown = (pictured(inputs.x) or isinstance(auditor.task, CausalLMTask)) and not auditor.detector.offline
        count = CARDS if shown and explainer.passes(auditor, shape) <= AFFORDABLE else 0
    flagged = [i for i in verdicts.most_anomalous(len(verdicts)) if verdicts.flagged[i]] if count else []
    chosen = [i for i in flagged if explainer.eraser.erasable(inputs.x[i : i + 1]).any()][:count]
    if chosen:
        passes, anomaly = explainer.passes(auditor, shape), Anomaly(auditor)
        most = 0 if further is None else further.passes(anomaly, shape) + anomaly.passes
        lasting = duration(len(chosen) * (passes + most) * seconds_per_pass(auditor.task, inputs))
        # A text that is shorter than the longest takes fewer.
        bound = "at most " if isinstance(auditor.task, CausalLMTask) else ""
        more = f" and at most {most:.0f} more where that is not enough" if most else ""
        messages.print(
            f"[dim]Explaining {len(chosen)} flagged inputs: {bound}{passes:.0f} forward passes each{more}, "
            f"{'at most' if bound or more else 'about'} {lasting}[/dim]",
            soft_wrap=True,
        )
    return torch.tensor(chosen, dtype=torch.int64)


def _token_scores(auditor: Auditor, inputs: Examples, verdicts: Verdicts) -> dict[int, list[float]]:
    if not isinstance(auditor.task, CausalLMTask) or auditor.detector.offline:
        return {}
    shown = verdicts.most_anomalous(CARDS)
    return dict(zip(shown, score_tokens(auditor, inputs.x[shown]), strict=True))
