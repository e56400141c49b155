import pytest
import torch
from scipy.stats import kurtosis, skew

from anomech.functional.gradient_statistics import PERTURBATIONS, STATISTICS, layer_statistics, outer_statistics


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direct(gradient):
    """`STATISTICS` of the entries of a matrix."""
    values = gradient.flatten()
    std = values.std(correction=0)
    shape = [skew(values.numpy()), kurtosis(values.numpy(), fisher=False)]
    return torch.tensor([values.mean(), std.log(), values.norm().log(), *shape], dtype=torch.float64)


def test_they_are_those_of_the_outer_product():
    left, right = normal(3, 7) + 0.5, normal(3, 5, seed=1) ** 2
    found = outer_statistics(left, right)
    expected = torch.stack([direct(torch.outer(a, b)) for a, b in zip(left, right, strict=True)])
    assert torch.allclose(found, expected)


def test_they_are_those_of_the_gradient_that_autograd_gives():
    weights, x, still = normal(6, 32), normal(1, 32, seed=1), torch.zeros(1, 32, dtype=torch.float64)
    variable = weights.clone().requires_grad_()
    (variable @ x[0]).square().sum().div(2).backward()
    # Without noise only the adversarial input differs from x.
    for row in layer_statistics(weights, x, still)[0, 1:]:
        assert torch.allclose(row, direct(variable.grad))


def test_the_adversarial_input_raises_the_loss_most():
    weights, x, noise = normal(20, 64), normal(4, 64, seed=1), normal(4, 64, seed=2)
    found = layer_statistics(weights, x, 0.3 * noise)
    norm = found[..., STATISTICS.index("log norm")]
    assert found.shape == (4, len(PERTURBATIONS), len(STATISTICS))
    assert norm.argmax(1).eq(PERTURBATIONS.index("adversarial")).all()


def test_draws_are_apart():
    weights, x, noise = normal(6, 32), normal(4, 32, seed=1), normal(4, 32, seed=2)
    together = layer_statistics(weights, x, noise)
    assert torch.allclose(together[2:3], layer_statistics(weights, x[2:3], noise[2:3]))


def test_the_scale_of_the_weights_moves_the_logarithms_and_the_mean_alone():
    weights, x, noise = normal(6, 32), normal(4, 32, seed=1), normal(4, 32, seed=2)
    one, double = (layer_statistics(scale * weights, x, noise) for scale in (1, 2))
    assert torch.allclose(double[..., 0], 2 * one[..., 0])
    assert torch.allclose(double[..., 1:3], one[..., 1:3] + torch.tensor(2.0).double().log())
    assert torch.allclose(double[..., 3:], one[..., 3:])


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (3, 5)])
def test_weights_of_zero_have_statistics_of_zero(shape):
    x = normal(2, shape[1])
    assert layer_statistics(torch.zeros(shape, dtype=torch.float64), x, x).eq(0).all()
    assert layer_statistics(normal(*shape), x, x).isfinite().all()
