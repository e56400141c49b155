import math

import numpy as np
import pytest
import torch
from scipy import stats

from anomech.functional.conformal import (
    false_discovery,
    flags_by_chance,
    p_values,
    realised_fpr_range,
    threshold,
)


def test_p_values_by_hand():
    calibration = torch.tensor([1.0, 2.0, 3.0, 4.0])
    scores = torch.tensor([0.0, 2.5, 3.0, 9.0])
    torch.testing.assert_close(p_values(calibration, scores), torch.tensor([1.0, 0.6, 0.6, 0.2], dtype=torch.float64))


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.1, 0.2, 1 / 3])
@pytest.mark.parametrize("n", [9, 99, 100, 237])
def test_threshold_and_p_values_flag_the_same_inputs(n, fpr):
    generator = torch.Generator().manual_seed(n)
    calibration = torch.randint(50, (n,), generator=generator).float()
    scores = torch.randint(60, (300,), generator=generator).float()
    by_p = p_values(calibration, scores) <= fpr + 1e-9
    assert torch.equal(scores > threshold(calibration, fpr), by_p)


def test_too_few_examples_flag_nothing():
    assert threshold(torch.arange(98.0), 0.01) == math.inf
    assert threshold(torch.arange(99.0), 0.01) == 98.0


def test_benjamini_hochberg_by_hand():
    p = torch.tensor([0.001, 0.3, 0.012, 0.029, 0.9], dtype=torch.float64)
    assert false_discovery(p, 0.05).tolist() == [True, False, True, True, False]


def test_chance_of_flags_matches_simulation():
    generator = np.random.default_rng(0)
    n, m, fpr = 60, 40, 0.1
    calibration = np.sort(generator.random((20_000, n)), axis=1)
    cut = calibration[:, n - math.floor(fpr * (n + 1))]
    flagged = (generator.random((20_000, m)) > cut[:, None]).sum(axis=1)
    for count in (1, 4, 8):
        assert flags_by_chance(n, m, fpr, count) == pytest.approx((flagged >= count).mean(), abs=0.015)


def test_realised_range_tends_to_the_binomial_for_many_calibration_scores():
    low, high = realised_fpr_range(1_000_000, 500, 0.05)
    expected = stats.binom.interval(0.95, 500, 0.05)
    assert (low * 500, high * 500) == pytest.approx(expected, abs=1)
    assert realised_fpr_range(50, 500, 0.01) == (0.0, 0.0)
