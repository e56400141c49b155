import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from anomech.functional.leverage import unexplained, unexplained_by_others, unexplained_without, whitener


def drawn(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30), (1, 5)])
@pytest.mark.parametrize("damping", [1e-3, 0.5])
def test_it_is_the_posterior_variance_of_a_gaussian_process(n, d, damping):
    known, new = drawn(n, d), drawn(10, d, seed=1)
    process = GaussianProcessRegressor(DotProduct(sigma_0=0, sigma_0_bounds="fixed"), alpha=damping, optimizer=None)
    _, deviation = process.fit(known.numpy(), np.zeros(n)).predict(new.numpy(), return_std=True)
    found = unexplained(new, whitener(known, damping))
    torch.testing.assert_close(found, torch.from_numpy(deviation**2), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_leaving_out_is_exact(n, d):
    known = drawn(n, d)
    found = unexplained_by_others(known, whitener(known, 0.01), 0.01)
    alone = [unexplained(known[i : i + 1], whitener(known[torch.arange(n) != i], 0.01)) for i in range(n)]
    torch.testing.assert_close(found, torch.cat(alone))


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_leaving_out_a_part_is_exact(n, d):
    known, damping = drawn(n, d), 0.01
    parts = [torch.arange(n)[i::4] for i in range(4)]
    found = unexplained_without(known, whitener(known, damping), damping, parts)
    for part, values in zip(parts, found, strict=True):
        others = torch.tensor([i for i in range(n) if i not in part])
        matrix = whitener(known[others], damping)
        torch.testing.assert_close(values[part], unexplained(known[part], matrix))
        torch.testing.assert_close(values[others], unexplained_by_others(known[others], matrix, damping))


def test_what_lies_in_the_span_is_explained_and_what_is_orthogonal_is_not():
    known = torch.eye(6, dtype=torch.float64)[:3].repeat(10, 1)
    new = torch.tensor([[0.6, 0.8, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0.6, 0, 0, 0, 0.8, 0]], dtype=torch.float64)
    found = unexplained(new, whitener(known, 1e-4))
    torch.testing.assert_close(found, torch.tensor([0, 1, 0.64], dtype=torch.float64), rtol=1e-3, atol=1e-4)
