"""How good verdicts are where the truth is known. Thresholds are set on trusted data alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from anomech.examples import Examples
from anomech.functional.conformal import threshold
from anomech.functional.metrics import (
    auroc,
    auroc_interval,
    best_defense_effectiveness,
    defense_effectiveness,
    rate_above,
    tpr_and_realised_fpr,
)

Figures = dict[str, float | None]


def evaluate(
    inputs: Examples,
    *,
    predictions: Tensor,
    scores: Tensor,
    trusted_scores: Tensor,
    fpr: float,
    seed: int = 0,
    resamples: int = 1000,
) -> Figures:
    """Detection figures on m inputs whose `anomalous` is known.

    "Filtered" keeps what the literature keeps: clean inputs that the model gets right, and attacks that succeed.

    Args:
        inputs: The inputs.
        predictions: What the model answered, `[m]`.
        scores: Higher is more anomalous, `[m]`.
        trusted_scores: Scores of trusted examples, each against the others, `[n]`.
        fpr: The accepted false-positive rate, for DER.
        seed: Seed of the bootstrap.
        resamples: Of the bootstrap.

    Returns:
        auroc with its bootstrap interval, auroc_filtered, TPR and realised FPR at `fpr`, 1 % and 5 %, asr, accuracy,
        and DER with the threshold of `fpr` and with the best one after the fact; None where a figure has no meaning.

    Raises:
        ValueError: `inputs.anomalous` is not known.
    """
    if inputs.anomalous is None:
        raise ValueError("figures need to know which inputs are anomalous")
    truth = inputs.anomalous
    low, high = auroc_interval(scores, truth, seed=seed, resamples=resamples)
    tpr_1, fpr_1 = tpr_and_realised_fpr(trusted_scores, scores, truth, 0.01)
    tpr_5, fpr_5 = tpr_and_realised_fpr(trusted_scores, scores, truth, 0.05)
    cut = threshold(trusted_scores, fpr)
    figures = {
        "tpr": rate_above(scores[truth], cut),
        "realised_fpr": rate_above(scores[~truth], cut),
        "auroc": auroc(scores, truth),
        "auroc_low": low,
        "auroc_high": high,
        "tpr_at_fpr_1": tpr_1,
        "realised_fpr_1": fpr_1,
        "tpr_at_fpr_5": tpr_5,
        "realised_fpr_5": fpr_5,
        **_attack_figures(inputs, truth, predictions, scores, cut),
    }
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _attack_figures(
    inputs: Examples, truth: Tensor, predictions: Tensor, scores: Tensor, cut: float
) -> dict[str, float]:
    if inputs.y is None or truth.all() or not truth.any():
        return dict.fromkeys(("auroc_filtered", "asr", "accuracy", "der", "der_posthoc"), math.nan)
    right = predictions == inputs.y
    obeyed = ~right if inputs.target is None else predictions == inputs.target
    succeeded, correct = truth & obeyed, ~truth & right
    asr, accuracy = _share(obeyed[truth]), _share(right[~truth])
    kept = succeeded | correct
    if not succeeded.any() or not correct.any():
        return {"asr": asr, "accuracy": accuracy, "auroc_filtered": math.nan, "der": math.nan, "der_posthoc": math.nan}
    return {
        "asr": asr,
        "accuracy": accuracy,
        "auroc_filtered": auroc(scores[kept], truth[kept]),
        "der": defense_effectiveness(
            asr=asr,
            accuracy=accuracy,
            tpr=rate_above(scores[succeeded], cut),
            fpr=rate_above(scores[correct], cut),
        ),
        "der_posthoc": best_defense_effectiveness(scores[kept], truth[kept], asr=asr, accuracy=accuracy),
    }


def _share(mask: Tensor) -> float:
    return mask.to(torch.float64).mean().item()
