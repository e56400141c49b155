import math

import pytest
import torch

from anomech.functional.chains import effective_sample_size, split_r_hat


def autoregressive(rho, chains, draws, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(chains, draws, generator=generator, dtype=torch.float64)
    values = torch.zeros_like(noise)
    for t in range(1, draws):
        values[:, t] = rho * values[:, t - 1] + noise[:, t]
    return values


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregressive_chain(rho):
    values = autoregressive(rho, 4, 20_000)
    expected = values.numel() * (1 - rho) / (1 + rho)
    assert effective_sample_size(values) == pytest.approx(expected, rel=0.12)


def test_chains_that_disagree_have_a_small_sample_and_a_large_r_hat():
    values = autoregressive(0.0, 2, 500)
    assert split_r_hat(values) == pytest.approx(1, abs=0.02)
    apart = values + torch.tensor([[0.0], [3.0]])
    assert split_r_hat(apart) > 1.5
    assert effective_sample_size(apart) < 50


def test_a_trend_raises_r_hat_within_one_chain():
    assert split_r_hat(autoregressive(0.0, 1, 500) + torch.linspace(0, 4, 500)) > 1.3


def test_degenerate_chains():
    assert split_r_hat(torch.ones(2, 100)) == 1
    assert math.isnan(split_r_hat(torch.ones(2, 3)))
    assert effective_sample_size(torch.ones(2, 100)) == 200
