import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from anomech.functional.likelihood_ratio import log_likelihood_ratio


def rows(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator).double() * torch.arange(1, d + 1) + 1


@pytest.mark.parametrize(("n", "d"), [(60, 5), (10, 30), (1, 3)])
def test_agrees_with_scipy(n, d):
    x, weights = rows(n, d).numpy(), np.linspace(0.1, 1, n)
    mean = np.average(x, axis=0, weights=weights)
    scatter = ((x - mean) * weights[:, None]).T @ (x - mean)
    covariance = (scatter + d * np.eye(d)) / (weights.sum() + d)
    expected = multivariate_normal(mean, covariance).logpdf(x) - multivariate_normal(np.zeros(d)).logpdf(x)
    found = log_likelihood_ratio(torch.from_numpy(x), torch.from_numpy(weights))
    torch.testing.assert_close(found, torch.from_numpy(np.atleast_1d(expected)))


def test_rows_without_weight_are_not_there():
    x, weights = rows(20, 4), torch.cat([torch.ones(15), torch.zeros(5)]).double()
    found = log_likelihood_ratio(x, weights)
    torch.testing.assert_close(found[:15], log_likelihood_ratio(x[:15], weights[:15]))


def test_many_clean_rows_are_as_likely_either_way():
    x = torch.randn(20000, 3, generator=torch.Generator().manual_seed(0)).double()
    assert log_likelihood_ratio(x, torch.ones(20000).double()).abs().mean() < 0.05
