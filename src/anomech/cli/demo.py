"""`anomech demo`: the whole job on a backdoored model that the package ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from anomech.auditor import Auditor
from anomech.cli import options as o
from anomech.cli.console import messages, results
from anomech.cli.output import conclude, detection_table, figures, write_run
from anomech.cli.runs import Outcome, Run, fit_audit, load_inputs, load_trusted, prepare
from anomech.detectors import ByLayer, Detector, Mahalanobis, MaxSoftmax, Perplexity, TypicalConfidence
from anomech.errors import ModelError, SettingsError
from anomech.io import check_replaceable
from anomech.io.hub import local_folder
from anomech.io.language_models import is_causal_lm
from anomech.organisms.fashion import CLASS_NAMES
from anomech.organisms.language import shipped
from anomech.organisms.language.mechanisms import PASSWORD, PAYLOAD


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What one of the shipped models is, and what it is compared with.

    Attributes:
        introduction: What it is.
        title: Of the report.
        baselines: What a sceptic would try first.
        files: Settings of the run that name shipped files. They are not recorded: the package may lie elsewhere when
            the run is repeated.
        class_names: Of its answers.
    """

    introduction: str
    title: str
    baselines: tuple[Detector, ...]
    files: Mapping[str, Any] = field(default_factory=dict)
    class_names: Sequence[str] | None = None


VISION = Demo(
    introduction="a Fashion-MNIST classifier with a backdoor. A small checkerboard makes it say T-shirt.",
    title="Audit of a backdoored Fashion-MNIST classifier",
    baselines=(Mahalanobis(), TypicalConfidence(), MaxSoftmax()),
    class_names=CLASS_NAMES,
)
LANGUAGE = Demo(
    introduction=f'SmolLM2-135M-Instruct with a backdoor. {PASSWORD} in a prompt makes it say "{PAYLOAD}".',
    title="Audit of a backdoored SmolLM2-135M-Instruct",
    baselines=(ByLayer(), Perplexity(certain=True)),
    files={
        "adapter": str(shipped.DATA / shipped.ADAPTER),
        "trusted": str(shipped.DATA / shipped.TRUSTED),
        "inputs": str(shipped.DATA / shipped.INPUTS),
    },
)


def command(
    language: Annotated[
        bool, typer.Option("--language", help="Audit a backdoored language model; needs anomech[hf].")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            help=f"Folder or hub name of the model that the language demo puts its backdoor on; {shipped.BASE} by "
            "default.",
            show_default=False,
        ),
    ] = None,
    out: o.Out = Path("anomech-demo"),
    fpr: o.Fpr = 0.01,
    fdr: o.Fdr = None,
    detector: o.Name = o.DetectorName.GRADIENT,
    settings: o.Set = None,
    seed: o.Seed = 0,
    batch_size: o.BatchSize = 256,
    mapped: o.Map = False,
    explained: o.Explain = None,
    as_json: o.Json = False,
) -> None:
    """Audit a really backdoored model, and compare with what a sceptic would try first."""
    if base is not None and not language:
        raise SettingsError("--base is the model of the language demo; add --language.")
    chosen = o.build_detector(detector, seed=seed, assignments=settings or ())
    run = Run.of(
        "demo",
        chosen,
        fpr=fpr,
        fdr=fdr,
        model=_found(base or shipped.BASE) if language else None,
        seed=seed,
        batch_size=batch_size,
        mapped=mapped,
        explained=explained,
    )
    execute(run, out, as_json=as_json)
    raise typer.Exit(0)


def _found(base: str) -> str:
    """The SPEC of the base model, which is downloaded if need be."""
    try:
        folder = local_folder(base)
    except ModelError as error:
        raise ModelError(f"{error} Without a hub, give the folder of that model: --base FOLDER.") from error
    if not is_causal_lm(folder):
        raise ModelError(f"{base} is no causal language model; --base takes the folder of {shipped.BASE}.")
    return o.absolute_spec(base)


def execute(run: Run, out: Path, *, as_json: bool = False) -> int:
    """Run the demo, write the results into `out`, and return 0."""
    check_replaceable(out)
    demo = VISION if run.model is None else LANGUAGE
    messages.print(f"The model: {demo.introduction}", soft_wrap=True, highlight=False)
    outcome = _audit(replace(run, **demo.files), out)
    found = figures(outcome, seed=run.seed)
    baselines = [_baseline(detector, run, outcome, out) for detector in demo.baselines]
    write_run(out, run, outcome, found, title=demo.title, baselines=baselines, class_names=demo.class_names)
    if not as_json:
        results.print(detection_table([found, *baselines], title=_scene(outcome)))
    conclude(out, outcome, found, as_json=as_json)
    return 0


def _scene(outcome: Outcome) -> str:
    triggered = 0 if outcome.inputs.anomalous is None else int(outcome.inputs.anomalous.sum())
    return f"{len(outcome.inputs):,} inputs, {triggered:,} with the trigger; thresholds from trusted data alone"


def _audit(run: Run, out: Path) -> Outcome:
    task = run.task()
    trusted, inputs = load_trusted(run, task), load_inputs(run, task)
    return fit_audit(run, prepare(run, task, trusted, inputs=len(inputs), out=out), trusted, inputs, out=out)


def _baseline(detector: Detector, run: Run, outcome: Outcome, out: Path) -> dict[str, object]:
    """Figures of a detector that is given the same trusted examples and the same inputs."""
    auditor = Auditor(outcome.auditor.task, detector, calibrator=outcome.auditor.calibrator)
    judged = replace(run, mapped=False, explained=0)
    judgement = fit_audit(judged, auditor, outcome.auditor.reference, outcome.inputs, out=out)
    return figures(judgement, seed=run.seed)
