import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from anomech.functional.likelihood_ratio import log_likelihood_ratio
from anomech.functional.two_gaussians import log_odds_of_second


def rows(clean, odd, d=3, seed=0):
    """Standard normal rows, then such as are narrower and lie elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    others = 0.5 * torch.randn(odd, d, generator=generator).double() + 2.5
    return torch.cat([torch.randn(clean, d, generator=generator).double(), others])


def mixture(x, shares):
    """The mixture whose second component is of rows with these shares, for scikit-learn to read."""
    n, d, total = *x.shape, shares.sum()
    mean = shares @ x / total
    covariance = ((x - mean).T * shares @ (x - mean) + d * np.eye(d)) / (total + d)
    found = GaussianMixture(2)
    found.weights_ = np.array([n - total + 1, total + 1]) / (n + 2)
    found.means_ = np.stack([np.zeros(d), mean])
    found.precisions_cholesky_ = np.stack([np.eye(d), np.linalg.inv(np.linalg.cholesky(covariance)).T])
    return found


@pytest.mark.parametrize(("clean", "odd", "d"), [(300, 100, 3), (40, 40, 20), (20, 5, 60)])
def test_it_settles_where_sklearn_finds_the_odds_that_the_mixture_is_fitted_with(clean, odd, d):
    x = rows(clean, odd, d)
    shares = log_odds_of_second(x).sigmoid().numpy()
    expected = mixture(x.numpy(), shares).predict_proba(x.numpy())[:, 1]
    np.testing.assert_allclose(shares, expected, rtol=0, atol=1e-5)


def test_many_rows_are_told_apart_as_by_sklearn_which_has_to_find_both_gaussians():
    x = rows(6000, 2000)
    free = GaussianMixture(2, means_init=[[0.0] * 3, [2.0] * 3], tol=1e-6).fit(x.numpy())
    shares = log_odds_of_second(x).sigmoid().numpy()
    assert np.abs(shares - free.predict_proba(x.numpy())[:, 1]).mean() < 0.005
    assert shares.mean() == pytest.approx(0.25, abs=0.01)


def test_a_known_group_is_found():
    log_odds = log_odds_of_second(rows(300, 30, d=10))
    assert (log_odds[:300] > 0).sum() <= 3
    assert (log_odds[300:] > 0).all()


def test_rows_that_a_gaussian_could_be_fitted_to_one_by_one_are_ordered_by_the_likelihood_ratio():
    x = rows(40, 10, d=400)
    ratio = log_likelihood_ratio(x, torch.ones(50).double())
    assert torch.equal(log_odds_of_second(x).argsort(), ratio.argsort())


@pytest.mark.parametrize(("n", "d"), [(1, 4), (50, 4), (5, 80)])
def test_clean_rows_and_few_give_finite_odds(n, d):
    assert log_odds_of_second(rows(n, 0, d)).isfinite().all()
