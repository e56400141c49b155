"""How well scores separate anomalies from clean inputs. Scores are higher where an input is more anomalous."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor

from anomech.functional.conformal import threshold


def auroc(scores: Tensor, anomalous: Tensor) -> float:
    """Area under the ROC curve of scores `[m]` with truth bool `[m]`; NaN where only one kind is present."""
    if anomalous.all() or not anomalous.any():
        return float("nan")
    return float(roc_auc_score(anomalous.numpy(), scores.numpy()))


def auroc_interval(
    scores: Tensor, anomalous: Tensor, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the AUROC, clean and anomalous inputs resampled apart."""
    if anomalous.all() or not anomalous.any():
        return float("nan"), float("nan")
    # A resample is a multinomial count of each distinct score.
    distinct, positions = np.unique(scores.numpy(), return_inverse=True)
    counts = [np.bincount(positions[kept], minlength=len(distinct)) for kept in (~anomalous.numpy(), anomalous.numpy())]
    generator = np.random.default_rng(seed)
    values = np.empty(resamples)
    for i in range(resamples):
        clean, bad = (generator.multinomial(c.sum(), c / c.sum()) for c in counts)
        values[i] = bad @ (clean.cumsum() - clean / 2)
    values /= counts[0].sum() * counts[1].sum()
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def average_precision(scores: Tensor, anomalous: Tensor) -> float:
    """Average precision of scores `[m]` with truth bool `[m]`; NaN where only one kind is present."""
    if anomalous.all() or not anomalous.any():
        return float("nan")
    return float(average_precision_score(anomalous.numpy(), scores.numpy()))


def f1_above(scores: Tensor, anomalous: Tensor, cut: float) -> float:
    """F1 of calling anomalous what is above `cut`, of scores `[m]` with truth bool `[m]`."""
    flagged = scores > cut
    return 2 * int((flagged & anomalous).sum()) / max(1, int(flagged.sum()) + int(anomalous.sum()))


def best_f1_cut(scores: Tensor, anomalous: Tensor) -> float:
    """The cut, halfway between two scores, above which F1 is best; the lowest of several."""
    cuts = scores.double().unique()
    cuts = torch.cat([cuts[:1] - 1, (cuts[1:] + cuts[:-1]) / 2])
    order = scores.double().sort()
    above = len(scores) - torch.searchsorted(order.values, cuts, right=True)
    missed = torch.cat([torch.zeros(1), anomalous[order.indices].double().cumsum(0)])[len(scores) - above]
    total = anomalous.double().sum()
    return float(cuts[(2 * (total - missed) / (above + total)).argmax()])


def bootstrap_interval(
    metric: Callable[[Tensor, Tensor], float],
    scores: Tensor,
    anomalous: Tensor,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a metric of scores and truth, clean and anomalous inputs resampled apart."""
    generator = torch.Generator().manual_seed(seed)
    kinds = [kind.nonzero().flatten() for kind in (~anomalous, anomalous)]
    values = []
    for _ in range(resamples):
        drawn = torch.cat([kind[torch.randint(len(kind), (len(kind),), generator=generator)] for kind in kinds])
        values.append(metric(scores[drawn], anomalous[drawn]))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_interval(
    values: Tensor, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Percentile bootstrap interval of the mean of rows `[n, ...]`, `[...]` each, float64."""
    generator = torch.Generator().manual_seed(seed)
    rows = values.double().flatten(1) if values.ndim > 1 else values.double()[:, None]
    drawn = torch.randint(len(rows), (resamples, len(rows)), generator=generator)
    counts = torch.zeros(resamples, len(rows), dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(1, 1, dtype=torch.float64).expand_as(drawn)
    )
    means = counts @ rows / len(rows)
    levels = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = torch.quantile(means, levels, dim=0)
    return low.view(values.shape[1:]), high.view(values.shape[1:])


def rate_above(scores: Tensor, cut: float) -> float:
    """Share of the scores `[m]` that is above `cut`: TPR on anomalies, realised FPR on clean inputs; NaN for none."""
    return float((scores > cut).double().mean()) if len(scores) else float("nan")


def tpr_and_realised_fpr(calibration: Tensor, scores: Tensor, anomalous: Tensor, fpr: float) -> tuple[float, float]:
    """TPR and realised FPR with the threshold set on the trusted calibration scores alone."""
    cut = threshold(calibration, fpr)
    return rate_above(scores[anomalous], cut), rate_above(scores[~anomalous], cut)


def defense_effectiveness(*, asr: float, accuracy: float, tpr: float, fpr: float) -> float:
    """DER of a detector that rejects what it flags, `(max(0, dASR) - max(0, dACC) + 1) / 2`, in [0, 1].

    A rejected input neither attacks nor counts as right: `dASR = asr * tpr`, `dACC = accuracy * fpr`.

    Source: BackdoorBench (arXiv 2206.12654), with the sign of its definition.

    Args:
        asr: Attack success rate without the detector.
        accuracy: Accuracy on clean inputs without the detector.
        tpr: Share of the successful attacks that is flagged.
        fpr: Share of the rightly classified clean inputs that is flagged.
    """
    return (asr * tpr - accuracy * fpr + 1) / 2


def best_defense_effectiveness(scores: Tensor, anomalous: Tensor, *, asr: float, accuracy: float) -> float:
    """DER at the threshold that is best after the fact, as the literature reports it; never below 1/2."""
    false_rates, true_rates, _ = roc_curve(anomalous.numpy(), scores.numpy(), drop_intermediate=False)
    return float(np.max((asr * true_rates - accuracy * false_rates + 1) / 2))
