"""What a run leaves behind: verdicts, figures, report and settings, all or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from anomech.cli.console import FOUND_ANOMALIES, FOUND_NOTHING, results
from anomech.cli.runs import Outcome, Run, maps_folder
from anomech.detectors import Detector, Perplexity
from anomech.evaluation import evaluate
from anomech.explain.explanations import Explanations
from anomech.explain.mechanisms import NONE, Mechanisms
from anomech.features import AttributionEffects, LossTraces, UntrainedActivations
from anomech.io import result_directory
from anomech.io.conversations import conversations
from anomech.io.language_models import Tokenizer
from anomech.io.texts import classifications, names_of_classes
from anomech.measure import Usage
from anomech.report import Dialogue, MarkedPrompt, ReportContent, headline, render
from anomech.tasks.tokens import COMPLETION, PROMPT
from anomech.versions import versions

Figures = dict[str, Any]

NAMES = {
    "AttributionEffects": "attribution",
    "Beatrix": "beatrix",
    "ByLayer": "residual",
    "CouplingMap": "umap",
    "Energy": "energy",
    "Ensemble": "ensemble",
    "GradientCoupling": "coupling",
    "GradientSpan": "gradient",
    "IsolationForest": "isolation-forest",
    "IsotropicNoise": "noise",
    "LikelihoodRatio": "likelihood-ratio",
    "LocalOutlierFactor": "lof",
    "Mahalanobis": "mahalanobis",
    "MaxSoftmax": "max-softmax",
    "NearestNeighbours": "knn",
    "NormalizingFlow": "flow",
    "PCAMahalanobis": "pca-mahalanobis",
    "Perplexity": "perplexity",
    "ProbeShift": "probe-shift",
    "QuantumEntropy": "que",
    "RMSpropSGLD": "sampling",
    "SGLD": "sgld",
    "ScaleUp": "scale-up",
    "SentiNet": "sentinet",
    "Strip": "strip",
    "TeCo": "teco",
    "TED": "ted",
    "TwoGaussians": "two-gaussians",
    "TypicalConfidence": "typical-confidence",
    "UntrainedActivations": "random-features",
    "VAE": "vae",
}


def figures(outcome: Outcome, *, seed: int) -> Figures:
    """What the run measured; the keys of detection are there where the truth is known."""
    verdicts = outcome.verdicts
    detection = (
        {}
        if outcome.inputs.anomalous is None
        else evaluate(
            outcome.inputs,
            predictions=verdicts.predictions,
            scores=verdicts.scores,
            trusted_scores=verdicts.trusted_scores,
            fpr=verdicts.fpr,
            seed=seed,
        )
    )
    scored = len(outcome.inputs) + sum(map(len, outcome.token_scores.values()))
    passes = outcome.auditor.detector.features.passes_per_input * scored
    return {
        "detector": describe(outcome.auditor.detector),
        "n_trusted": len(outcome.auditor.reference),
        "n_inputs": len(outcome.inputs),
        "flagged": int(verdicts.flagged.sum()),
        **detection,
        "seconds": outcome.usage.seconds,
        "forward_equivalents": passes / len(outcome.inputs),
        "fit_forward_passes": outcome.usage.forward_passes - passes,
        "peak_memory_mb": outcome.usage.peak_memory_mb,
        "seed": seed,
        **({"weight_directions": [one.plain() for one in outcome.carried]} if outcome.carried else {}),
        **({} if outcome.explanations is None else _explaining(outcome.explanations, outcome.explaining)),
    }


def _explaining(explanations: Explanations, usage: Usage) -> Figures:
    return {
        "explained": len(explanations),
        "located": int(explanations.located.sum()),
        "explaining_seconds": usage.seconds,
        "explaining_forward_equivalents": usage.forward_passes / len(explanations),
    }


def describe(detector: Detector) -> str:
    """A detector in a word, for tables: the sampler behind its traces, its features, or its own kind."""
    if isinstance(detector, Perplexity) and detector.certain:
        return "certainty"
    match detector.features:
        case LossTraces() if detector.offline:
            return "umap-sampling"
        case LossTraces(sampler=sampler):
            return NAMES[type(sampler).__name__]
        case AttributionEffects() | UntrainedActivations() as features:
            return NAMES[type(features).__name__]
        case _:
            return NAMES[type(detector).__name__]


def write_run(
    out: Path,
    run: Run,
    outcome: Outcome,
    measured: Figures,
    *,
    title: str,
    baselines: Sequence[Figures] = (),
    class_names: Sequence[str] | None = None,
) -> None:
    """Write `verdicts.parquet`, `metrics.json`, `report.html` and `config.json` into `out`."""
    auditor, table, dialogue = outcome.auditor, outcome.verdicts.to_table(), _dialogue(run, outcome)
    if dialogue is not None:
        columns = ("prompt", "completion")
        names = columns if run.text_classifier is None else ("text", "class")
        for name, column in zip(names, columns, strict=True):
            table = table.append_column(name, pa.array([getattr(c, column) for c in dialogue.inputs], pa.string()))
    if outcome.mechanisms is not None:
        table = table.append_column("cluster", _clusters(outcome.mechanisms, len(table)))
    if outcome.explanations is not None:
        for name, column in outcome.explanations.columns(len(table)).items():
            table = table.append_column(name, column)
        if dialogue is not None:
            table = table.append_column("neutralised_completion", _answers(dialogue, len(table)))
    if run.text_classifier is not None:
        class_names = names_of_classes(auditor.task.model.config)
    config = {
        "run": run.plain(),
        "auditor": auditor.settings(),
        "model_sha256": auditor.task.model_sha256(),
        "trusted_sha256": auditor.reference.sha256(),
        "inputs_sha256": outcome.inputs.sha256(),
        "versions": versions(),
    }
    with result_directory(out) as partial:
        pq.write_table(table, partial / "verdicts.parquet")
        (partial / "metrics.json").write_text(json.dumps({**measured, "baselines": list(baselines)}, indent=2) + "\n")
        content = ReportContent(
            title=title,
            verdicts=outcome.verdicts,
            inputs=outcome.inputs,
            trusted=auditor.reference,
            health=auditor.health,
            metrics=measured if outcome.inputs.anomalous is not None else None,
            baselines=baselines,
            settings=config,
            class_names=class_names,
            dialogue=dialogue,
            mechanisms=outcome.mechanisms,
            carried=outcome.carried,
            explanations=outcome.explanations,
            notes=auditor.warnings,
            cost={name: measured[name] for name in ("seconds", "forward_equivalents", "peak_memory_mb")},
        )
        (partial / "report.html").write_text(render(content), encoding="utf-8")
        (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.rmtree(maps_folder(out), ignore_errors=True)


def _clusters(mechanisms: Mechanisms, number: int) -> pa.Array:
    """Of each input, counted from 1 as in the report; null where it is in none, or not on the map."""
    clusters: list[int | None] = [None] * number
    for position, cluster in zip(mechanisms.positions.tolist(), mechanisms.clusters.tolist(), strict=True):
        clusters[position] = None if cluster == NONE else cluster + 1
    return pa.array(clusters, pa.int32())


def _dialogue(run: Run, outcome: Outcome) -> Dialogue | None:
    """Inputs and trusted examples as text, if the model is a language model or a classifier of texts."""
    auditor = outcome.auditor
    if run.language_model is not None:
        inputs, trusted = (conversations(e.x, run.tokenizer) for e in (outcome.inputs, auditor.reference))
        marked = {} if outcome.explanations is None else _marked(outcome.inputs.x, outcome.explanations, run.tokenizer)
        return Dialogue(inputs=inputs, trusted=trusted, token_scores=outcome.token_scores, marked=marked)
    if run.text_classifier is not None:
        tokenizer, config = run.text_tokenizer, auditor.task.model.config
        answered = (
            (outcome.inputs.x, outcome.verdicts.predictions),
            (auditor.reference.x, auditor.detector.trusted.predictions),
        )
        inputs, trusted = (classifications(*one, tokenizer=tokenizer, config=config) for one in answered)
        return Dialogue(inputs=inputs, trusted=trusted, token_scores={}, classified=True)
    return None


def _marked(x: Tensor, found: Explanations, tokenizer: Tokenizer) -> dict[int, MarkedPrompt]:
    """Explained prompts of inputs `[n, 2, length]`, by position."""
    marked = {}
    chosen = zip(found.positions.tolist(), found.maps, found.hidden, found.neutralised.x, strict=True)
    for position, values, hidden, (ids, roles) in chosen:
        before, prompt = x[position], x[position, 1] == PROMPT
        asked, answer = before[0, prompt].tolist(), ids[roles == COMPLETION].tolist()
        text = torch.tensor(tokenizer.is_text(asked))
        marked[position] = MarkedPrompt(
            pieces=[piece for piece, told in zip(tokenizer.pieces(asked), text.tolist(), strict=True) if told],
            values=values[prompt][text].tolist(),
            hidden=hidden[prompt][text].tolist(),
            answer=tokenizer.decode(answer),
            unchanged=answer == before[0, before[1] == COMPLETION].tolist(),
        )
    return marked


def _answers(dialogue: Dialogue, number: int) -> pa.Array:
    """What the model says to each explained prompt without what was left out; null for the others."""
    answers = [dialogue.marked[i].answer if i in dialogue.marked else None for i in range(number)]
    return pa.array(answers, pa.string())


def conclude(out: Path, outcome: Outcome, measured: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the answer and return the exit status."""
    if as_json:
        summary = {"headline": headline(outcome.verdicts), "out": str(out), **measured}
        results.print_json(data={**summary, "anomalies_found": outcome.verdicts.anomalies_found})
    else:
        results.print(f"\n[bold]{headline(outcome.verdicts)}[/bold]")
        results.print(f"Report: {out / 'report.html'}", soft_wrap=True, markup=False)
    return FOUND_ANOMALIES if outcome.verdicts.anomalies_found else FOUND_NOTHING


def detection_table(rows: Sequence[Figures], *, title: str) -> Table:
    """Detection figures side by side, fitting in 80 columns; thresholds are set on trusted data alone."""
    table = Table(title=title, title_justify="left", padding=0, box=SIMPLE_HEAD)
    table.add_column("detector", no_wrap=True)
    for heading in ("AUROC\n95 % interval", "TPR %\nat 1 %", "real\nFPR %", "TPR %\nat 5 %", "real\nFPR %", "DER", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        rates = [_percent(row[f"{kind}_{rate}"]) for rate in (1, 5) for kind in ("tpr_at_fpr", "realised_fpr")]
        interval = f"{_number(row['auroc'])} ({_number(row['auroc_low'])}-{_number(row['auroc_high'])})"
        table.add_row(row["detector"], interval, *rates, _number(row["der"]), f"{row['seconds']:.1f}")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
