import math

import pytest
import torch

from anomech.functional.metrics import (
    auroc,
    auroc_interval,
    average_precision,
    best_defense_effectiveness,
    best_f1_cut,
    bootstrap_interval,
    defense_effectiveness,
    f1_above,
    mean_interval,
    rate_above,
    tpr_and_realised_fpr,
)

TRUTH = torch.tensor([False, False, True, True])


def test_auroc_by_hand():
    assert auroc(torch.tensor([1.0, 3.0, 2.0, 4.0]), TRUTH) == 0.75
    assert auroc(torch.tensor([1.0, 1.0, 1.0, 1.0]), TRUTH) == 0.5
    assert math.isnan(auroc(torch.tensor([1.0, 2.0]), torch.tensor([True, True])))


def test_interval_covers_the_estimate_and_narrows_with_more_data():
    generator = torch.Generator().manual_seed(0)
    widths = []
    for n in (50, 800):
        truth = torch.arange(2 * n) >= n
        scores = torch.randn(2 * n, generator=generator) + truth
        low, high = auroc_interval(scores, truth, resamples=200)
        assert low < auroc(scores, truth) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_is_that_of_resampling_one_by_one():
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(90) >= 50
    scores = (torch.randn(90, generator=generator) + truth).mul(4).round()
    resampled = []
    for _ in range(500):
        picks = [
            group[torch.randint(len(group), (len(group),), generator=generator)]
            for group in (scores[~truth], scores[truth])
        ]
        resampled.append(auroc(torch.cat(picks), truth))
    expected = torch.tensor(resampled).quantile(torch.tensor([0.025, 0.975])).tolist()
    assert auroc_interval(scores, truth, resamples=5000) == pytest.approx(expected, abs=0.02)


def test_rates_use_a_threshold_from_trusted_scores_alone():
    calibration = torch.arange(99.0)
    scores = torch.tensor([0.0, 98.5, 97.0, 99.0])
    assert tpr_and_realised_fpr(calibration, scores, TRUTH, 0.01) == (0.5, 0.5)
    assert math.isnan(rate_above(torch.empty(0), 0.0))


def test_der_by_hand():
    assert defense_effectiveness(asr=1, accuracy=1, tpr=1, fpr=0) == 1
    assert defense_effectiveness(asr=1, accuracy=1, tpr=0, fpr=0) == 0.5
    assert defense_effectiveness(asr=0.9, accuracy=0.8, tpr=0.5, fpr=0.1) == pytest.approx((0.45 - 0.08 + 1) / 2)


def test_best_der_is_never_below_one_half_and_finds_the_split():
    assert best_defense_effectiveness(torch.tensor([1.0, 2.0, 3.0, 4.0]), TRUTH, asr=1, accuracy=1) == 1
    assert best_defense_effectiveness(torch.tensor([3.0, 4.0, 1.0, 2.0]), TRUTH, asr=1, accuracy=1) == 0.5


def test_average_precision_of_one_kind_is_not_a_number():
    assert math.isnan(average_precision(torch.rand(3), torch.ones(3, dtype=torch.bool)))
    assert average_precision(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([False, True, False])) == 0.5


def test_f1_by_hand():
    scores, anomalous = torch.tensor([1.0, 2.0, 2.0, 3.0, 4.0]), torch.tensor([False, True, False, True, True])
    assert f1_above(scores, anomalous, 2.5) == 2 * 2 / (2 + 3)
    assert f1_above(scores, anomalous, 9.0) == 0
    assert best_f1_cut(scores, anomalous) == 1.5


def test_no_cut_has_a_better_f1():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        scores = torch.randint(8, (30,), generator=generator).float()
        anomalous = torch.rand(30, generator=generator) < scores / 10
        best = f1_above(scores, anomalous, best_f1_cut(scores, anomalous))
        assert best == max(f1_above(scores, anomalous, cut / 2) for cut in range(-1, 16))


def test_a_bootstrap_of_the_auroc_is_that_of_its_own():
    generator = torch.Generator().manual_seed(0)
    anomalous = torch.arange(100) < 40
    scores = torch.randn(100, generator=generator) + anomalous
    found = bootstrap_interval(auroc, scores, anomalous)
    assert found == pytest.approx(auroc_interval(scores, anomalous), abs=0.02)


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation_column_by_column():
    values = torch.randn(400, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0])
    low, high = mean_interval(values)
    spread = 1.96 * values.double().std(0) / 20
    torch.testing.assert_close(low, values.double().mean(0) - spread, rtol=0, atol=0.03)
    torch.testing.assert_close(high, values.double().mean(0) + spread, rtol=0, atol=0.03)
    one_low, one_high = mean_interval(values[:, 0])
    assert (float(one_low), float(one_high)) == pytest.approx((float(low[0]), float(high[0])))
