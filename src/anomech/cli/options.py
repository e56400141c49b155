"""Options that several commands share, and the detector that they describe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from anomech.detectors import (
    TED,
    VAE,
    Beatrix,
    ByLayer,
    CouplingMap,
    Detector,
    Energy,
    Ensemble,
    GradientCoupling,
    GradientSpan,
    IsolationForest,
    LikelihoodRatio,
    LocalOutlierFactor,
    Mahalanobis,
    MaxSoftmax,
    NearestNeighbours,
    NormalizingFlow,
    PCAMahalanobis,
    Perplexity,
    QuantumEntropy,
    ScaleUp,
    SentiNet,
    Strip,
    TeCo,
    TraceCoupling,
    TwoGaussians,
    TypicalConfidence,
)
from anomech.errors import SettingsError
from anomech.features import (
    AttributionEffects,
    LossTraces,
    ProbeShift,
    UntrainedActivations,
)
from anomech.io.models import split_spec
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD


class DetectorName(StrEnum):
    """Detectors by the name that the command line gives them."""

    GRADIENT = "gradient"
    COUPLING = "coupling"
    SAMPLING = "sampling"
    PAPER = "paper"
    SGLD = "sgld"
    NOISE = "noise"
    MAHALANOBIS = "mahalanobis"
    PCA_MAHALANOBIS = "pca-mahalanobis"
    MAX_SOFTMAX = "max-softmax"
    SCALE_UP = "scale-up"
    SENTINET = "sentinet"
    STRIP = "strip"
    TECO = "teco"
    TYPICAL_CONFIDENCE = "typical-confidence"
    LOF = "lof"
    ISOLATION_FOREST = "isolation-forest"
    KNN = "knn"
    ENERGY = "energy"
    ENSEMBLE = "ensemble"
    BEATRIX = "beatrix"
    TED = "ted"
    VAE = "vae"
    FLOW = "flow"
    PERPLEXITY = "perplexity"
    QUE = "que"
    LIKELIHOOD_RATIO = "likelihood-ratio"
    TWO_GAUSSIANS = "two-gaussians"
    RESIDUAL = "residual"
    ATTRIBUTION = "attribution"
    PROBE_SHIFT = "probe-shift"
    UMAP = "umap"
    UMAP_SAMPLING = "umap-sampling"
    RANDOM_FEATURES = "random-features"


class Dtype(StrEnum):
    """What weights are held in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def build_detector(name: DetectorName, *, seed: int, assignments: Sequence[str] = ()) -> Detector:
    """The detector of that name, with some of its settings changed.

    Args:
        name: Which detector.
        seed: Seed of its sampler, if it has one.
        assignments: `name=value`, where the name is a setting of the detector, of its features or of their sampler.

    Raises:
        SettingsError: A setting that this detector does not have, or a value of the wrong type.
    """
    detector = _named(name)
    if "seed" in _settings_of(detector):
        detector = _assign(detector, "seed", seed)
    for assignment in assignments:
        setting, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set takes name=value, got {assignment!r}.")
        detector = _assign(detector, setting.replace("-", "_"), _parse(value))
    return detector


def _named(name: DetectorName) -> Detector:
    match name:
        case DetectorName.GRADIENT:
            return GradientSpan()
        case DetectorName.COUPLING:
            return GradientCoupling()
        case DetectorName.MAHALANOBIS:
            return Mahalanobis()
        case DetectorName.PCA_MAHALANOBIS:
            return PCAMahalanobis()
        case DetectorName.MAX_SOFTMAX:
            return MaxSoftmax()
        case DetectorName.SCALE_UP:
            return ScaleUp()
        case DetectorName.SENTINET:
            return SentiNet()
        case DetectorName.STRIP:
            return Strip()
        case DetectorName.TECO:
            return TeCo()
        case DetectorName.TYPICAL_CONFIDENCE:
            return TypicalConfidence()
        case DetectorName.LOF:
            return LocalOutlierFactor()
        case DetectorName.ISOLATION_FOREST:
            return IsolationForest()
        case DetectorName.KNN:
            return NearestNeighbours()
        case DetectorName.ENERGY:
            return Energy()
        case DetectorName.ENSEMBLE:
            return Ensemble()
        case DetectorName.BEATRIX:
            return Beatrix()
        case DetectorName.TED:
            return TED()
        case DetectorName.VAE:
            return VAE()
        case DetectorName.FLOW:
            return NormalizingFlow()
        case DetectorName.PERPLEXITY:
            return Perplexity()
        case DetectorName.RESIDUAL:
            return ByLayer()
        case DetectorName.ATTRIBUTION:
            return ByLayer(features=AttributionEffects())
        case DetectorName.PROBE_SHIFT:
            return ByLayer(features=ProbeShift())
        case DetectorName.QUE:
            return QuantumEntropy()
        case DetectorName.LIKELIHOOD_RATIO:
            return LikelihoodRatio()
        case DetectorName.TWO_GAUSSIANS:
            return TwoGaussians()
        case DetectorName.UMAP:
            return CouplingMap()
        case DetectorName.UMAP_SAMPLING:
            return CouplingMap(couplings=TraceCoupling())
        case DetectorName.RANDOM_FEATURES:
            return Mahalanobis(features=UntrainedActivations())
        case DetectorName.PAPER:
            return TraceCoupling(features=LossTraces(RMSpropSGLD.paper()), measure="pearson", pooling="class-level")
        case _:
            samplers = {DetectorName.SAMPLING: RMSpropSGLD, DetectorName.SGLD: SGLD, DetectorName.NOISE: IsotropicNoise}
            return TraceCoupling(features=LossTraces(samplers[name]()))


def _settings_of(settings: Any) -> dict[str, Any]:
    """Every setting of a settings object and of those within it, by name; parts of a detector share theirs."""
    found: dict[str, Any] = {}
    for f in fields(settings):
        if f.init:
            value = getattr(settings, f.name)
            parts = value if isinstance(value, tuple) else (value,)
            if parts and all(map(is_dataclass, parts)):
                for part in parts:
                    found |= _settings_of(part)
            else:
                found[f.name] = value
    return found


def _assign(settings: Any, name: str, value: object) -> Any:
    known = _settings_of(settings)
    if name not in known:
        raise SettingsError(f"this detector has no setting {name!r}; it has {', '.join(sorted(known))}.")
    current = known[name]
    kind = float if current is None else type(current)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind and value is not current:
        accepted = "a number" if current is None else f"a value like {current!r}"
        raise SettingsError(f"{name} takes {accepted}, got {value!r}.")
    return _replace_within(settings, name, value)


def _replace_within(settings: Any, name: str, value: object) -> Any:
    """The settings with this one changed wherever it occurs."""
    changed: dict[str, Any] = {}
    for f in fields(settings):
        inner = getattr(settings, f.name) if f.init else None
        if f.name == name:
            changed[name] = value
        elif is_dataclass(inner) and name in _settings_of(inner):
            changed[f.name] = _replace_within(inner, name, value)
        elif isinstance(inner, tuple):
            parts = (_replace_within(part, name, value) if name in _settings_of(part) else part for part in inner)
            changed[f.name] = tuple(parts)
    return replace(settings, **changed)


def _parse(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def absolute_spec(spec: str) -> str:
    """The SPEC of a model with its paths made absolute, so that a run can be repeated from anywhere."""
    model, weights = split_spec(spec)
    path, colon, function = model.rpartition(":") if ":" in model else (model, "", "")
    absolute = f"{Path(path).resolve()}{colon}{function}" if Path(path).exists() else model
    return absolute if weights is None else f"{absolute}@{weights.resolve()}"


Model = Annotated[
    str,
    typer.Option(
        help="package.module:function or file.py:function that returns the model; ARCH@WEIGHTS, such a function that "
        "returns the untrained model and a file with its state dict; or a Hugging Face folder or hub name, of an image "
        "classifier, a text classifier or a causal language model."
    ),
]
Trusted = Annotated[
    Path,
    typer.Option(
        help="Trusted examples: class folders, .npz or .parquet, with labels; for a language model prompts, for a "
        "text classifier texts, in .jsonl or .parquet."
    ),
]
Inputs = Annotated[
    Path,
    typer.Option(
        help="Inputs to audit: a folder of images, .npz or .parquet; for a language model prompts, for a text "
        "classifier texts, in .jsonl or .parquet."
    ),
]
Out = Annotated[Path, typer.Option(help="Where the results go.")]
Fpr = Annotated[float, typer.Option(help="Accepted false-positive rate.")]
Fdr = Annotated[
    float | None, typer.Option(help="Accepted false-discovery rate over the batch; decides in place of --fpr.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Inputs a forward pass; verdicts do not depend on it.")]
Adapter = Annotated[
    Path | None, typer.Option(help="Folder of a peft adapter (LoRA) to put on a language model.", show_default=False)
]
DtypeName = Annotated[
    Dtype,
    typer.Option(
        "--dtype", help="What a language model is held in; bfloat16 takes half the memory, and scores are less exact."
    ),
]
NewTokens = Annotated[
    int, typer.Option(min=1, help="Longest answer of a language model where a prompt has no completion, in tokens.")
]
Map = Annotated[
    bool,
    typer.Option("--map", help="Group the inputs by mechanism and map them in the report; needs anomech[umap]."),
]
Explain = Annotated[
    int | None,
    typer.Option(
        "--explain",
        min=0,
        metavar="N",
        help="Find out for at most N flagged images or prompts which pixels or tokens make them anomalous, and ask the "
        "model again without these, or where that is not enough, of images, without more; by default, but not without "
        "more, for those that the report shows, if that takes at most 200 forward passes each.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, ..., or auto for a language model over all GPUs; by default a GPU where there is one."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Name = Annotated[DetectorName, typer.Option("--detector", help="Which detector; paper is sampling as published.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as draws=300 or pooling=own-class; repeatable."),
]
