"""Options that several commands share, and the detector that they describe."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from anomech.detectors import Coupling, Detector, Mahalanobis, MaxSoftmax
from anomech.errors import SettingsError
from anomech.features import LossTraces
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD


class DetectorName(StrEnum):
    """Detectors by the name that the command line gives them."""

    SAMPLING = "sampling"
    PAPER = "paper"
    SGLD = "sgld"
    NOISE = "noise"
    MAHALANOBIS = "mahalanobis"
    MAX_SOFTMAX = "max-softmax"


def build_detector(name: DetectorName, **overrides: Any) -> Detector:
    """The detector of that name, with the settings that are given (not None) in place of its own.

    Raises:
        SettingsError: A setting that this detector does not have.
    """
    given = {setting: value for setting, value in overrides.items() if value is not None}
    match name:
        case DetectorName.MAHALANOBIS:
            return _with_settings(Mahalanobis(), given)
        case DetectorName.MAX_SOFTMAX:
            return _with_settings(MaxSoftmax(), given)
        case DetectorName.PAPER:
            traces = LossTraces(RMSpropSGLD.paper())
            return _with_settings(Coupling(features=traces, measure="pearson", pooling="class-level"), given)
        case _:
            samplers = {DetectorName.SAMPLING: RMSpropSGLD, DetectorName.SGLD: SGLD, DetectorName.NOISE: IsotropicNoise}
            return _with_settings(Coupling(features=LossTraces(samplers[name]())), given)


def _with_settings(detector: Detector, given: dict[str, Any]) -> Detector:
    """Hand each setting to whichever of detector, features and sampler has it."""
    features = detector.features
    if isinstance(features, LossTraces):
        sampler, given = _take(features.sampler, given)
        features, given = _take(replace(features, sampler=sampler), given)
        detector = replace(detector, features=features)
    detector, given = _take(detector, given)
    if unknown := [name.replace("_", "-") for name in given if name != "seed"]:
        raise SettingsError(f"--{', --'.join(unknown)} has no meaning for this detector; leave it out.")
    return detector


def _take(settings: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    names = {f.name for f in fields(settings) if f.init}
    mine = {name: value for name, value in given.items() if name in names}
    return replace(settings, **mine), {name: value for name, value in given.items() if name not in names}


def absolute_spec(spec: str) -> str:
    """The SPEC of a model with its path made absolute, so that a run can be repeated from anywhere."""
    path, colon, function = spec.rpartition(":") if ":" in spec else (spec, "", "")
    return f"{Path(path).resolve()}{colon}{function}" if Path(path).exists() else spec


Model = Annotated[
    str,
    typer.Option(help="package.module:function or file.py:function that returns the model, or a Hugging Face folder."),
]
Trusted = Annotated[Path, typer.Option(help="Trusted examples: class folders, .npz or .parquet, with labels.")]
Inputs = Annotated[Path, typer.Option(help="Inputs to audit: a folder of images, .npz or .parquet.")]
Out = Annotated[Path, typer.Option(help="Where the results go.")]
Fpr = Annotated[float, typer.Option(help="Accepted false-positive rate.")]
Fdr = Annotated[
    float | None, typer.Option(help="Accepted false-discovery rate over the batch; decides in place of --fpr.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
BatchSize = Annotated[int, typer.Option(help="Inputs a forward pass; verdicts do not depend on it.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; by default a GPU where there is one.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

SAMPLING = "Sampling"
Name = Annotated[DetectorName, typer.Option("--detector", help="Which detector; paper is sampling as published.")]
Draws = Annotated[int | None, typer.Option(help="Draws of each chain.", rich_help_panel=SAMPLING)]
Chains = Annotated[int | None, typer.Option(help="Independent chains.", rich_help_panel=SAMPLING)]
Gamma = Annotated[float | None, typer.Option(help="Strength of the localisation.", rich_help_panel=SAMPLING)]
Nbeta = Annotated[float | None, typer.Option(help="Inverse temperature times samples.", rich_help_panel=SAMPLING)]
StepSize = Annotated[
    float | None, typer.Option(help="By default the largest that cannot diverge.", rich_help_panel=SAMPLING)
]
BatchNorm = Annotated[str | None, typer.Option(help="train or frozen.", rich_help_panel=SAMPLING)]
Sigma = Annotated[float | None, typer.Option(help="Standard deviation of --detector noise.", rich_help_panel=SAMPLING)]
Keep = Annotated[
    str | None,
    typer.Option(help="draws (disk) or seed (time), for inputs that arrive later.", rich_help_panel=SAMPLING),
]
Measure = Annotated[str | None, typer.Option(help="pearson or concordance.", rich_help_panel=SAMPLING)]
Pooling = Annotated[
    str | None,
    typer.Option(help="mean, class-level, own-class, nearest or nearest-own-class.", rich_help_panel=SAMPLING),
]
