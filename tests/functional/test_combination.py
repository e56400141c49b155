import math

import pytest
import torch
from scipy.stats import hmean

from anomech.functional.combination import harmonic_mean_p, left_out_smooth_p_values, smooth_p_values
from anomech.functional.conformal import p_values


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_harmonic_mean_is_scipys():
    p = uniform(3, 20) + 0.01
    torch.testing.assert_close(harmonic_mean_p(p), torch.from_numpy(hmean(p.numpy(), axis=0)))


def test_smooth_p_values_are_conformal_at_the_calibration_scores_and_fall_between_and_beyond():
    trusted = torch.linspace(0, 1, 101)
    torch.testing.assert_close(smooth_p_values(trusted, trusted), p_values(trusted, trusted))
    assert smooth_p_values(trusted, torch.tensor([-1.0])) == 1
    # Halfway between two scores, as a logarithm.
    between = smooth_p_values(trusted, torch.tensor([0.985]))
    torch.testing.assert_close(between, (torch.tensor([4 / 102 * 3 / 102]).double()).sqrt(), rtol=1e-4, atol=0)
    beyond = smooth_p_values(trusted, torch.tensor([1.001, 2.0, 3.0, 1e9]))
    assert (beyond.diff() < 0).all()
    assert 2 / 102 / math.e <= beyond[-1] < beyond[0] < 2 / 102
    # One unit of the tail is from the median, 0.5, to the mean of the highest five, 0.98.
    for p, units in zip(beyond[1:3].tolist(), (1 / 0.48, 2 / 0.48), strict=True):
        assert p == pytest.approx(2 / 102 * math.exp(-units / (1 + units)), rel=1e-5)


def test_of_tied_calibration_scores_all_are_at_least_as_high():
    trusted = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.0])
    assert smooth_p_values(trusted, torch.tensor([2.0])).item() == pytest.approx(5 / 6)
    assert torch.equal(left_out_smooth_p_values(torch.full((4,), 7.0)), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("ties", [False, True])
def test_a_left_out_p_value_is_that_of_a_new_input_given_the_others(ties):
    trusted = uniform(30).float().exp()
    if ties:
        trusted = (4 * trusted).round()
    found = left_out_smooth_p_values(trusted)
    for i in range(30):
        others = trusted[torch.arange(30) != i]
        expected = smooth_p_values(others, trusted[i : i + 1])[0].item()
        # The unit is that of the others but for the median, which is that of all.
        assert found[i].item() == pytest.approx(expected, rel=0.05 if trusted[i] > others.max() else 1e-6)
