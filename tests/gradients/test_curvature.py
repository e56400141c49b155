import pytest
import torch
from torch import nn
from torch.func import hessian

from anomech import ClassificationTask
from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.features import GradientSketch
from anomech.gradients.curvature import DIRECTIONS, gauss_newton_cotangents, hessian_product, whitening


def test_preconditioned_couplings_are_the_analytic_ones_on_the_linear_gaussian_model(regression, tmp_path):
    """With loss (w.x - y)^2 / 2 the curvature is X^T X / n, and the first-order covariance g (nbeta H + gamma)^-1 g."""
    task, examples = regression
    sketch = GradientSketch(behaviour="loss", preconditioner="low-rank", gamma=3.0, nbeta=7.0)
    task.own_output = lambda outputs: torch.zeros_like(outputs)
    sketch.fit(task, examples, tmp_path)
    found = sketch.extract(task, examples, tmp_path).only_layer
    x = examples.x.double()
    gradients = x * task.model(examples.x).detach().double()
    posterior = torch.linalg.inv(7.0 * x.T @ x / len(x) + 3.0 * torch.eye(3))
    torch.testing.assert_close(
        found.double() @ found.double().T, gradients @ posterior @ gradients.T, rtol=1e-4, atol=1e-4
    )


def test_the_vectors_factor_the_hessian_of_the_loss():
    task = ClassificationTask(nn.Linear(4, 5), device="cpu")
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    factors = torch.stack(gauss_newton_cotangents(task, logits), dim=2)
    for i in range(3):
        exact = hessian(lambda z: task.loss(z[None], z[None].argmax(1))[0])(logits[i].double())
        torch.testing.assert_close((factors[i] @ factors[i].T).double(), exact, rtol=1e-5, atol=1e-6)


def test_of_many_directions_the_largest_are_kept():
    task = ClassificationTask(nn.Linear(4, 30), device="cpu")
    logits = torch.randn(1, 30, generator=torch.Generator().manual_seed(0))
    factors = torch.stack(gauss_newton_cotangents(task, logits), dim=2)[0]
    exact = hessian(lambda z: task.loss(z[None], z[None].argmax(1))[0])(logits[0].double())
    assert factors.shape == (30, DIRECTIONS)
    torch.testing.assert_close(factors.norm(dim=0).square().double(), torch.linalg.eigvalsh(exact).flip(0)[:DIRECTIONS])


def test_too_many_outputs_are_refused():
    with pytest.raises(ModelError, match="preconditioner=none"):
        gauss_newton_cotangents(ClassificationTask(nn.Linear(4, 5), device="cpu"), torch.zeros(1, 5000))


def test_whitening_is_the_inverse_root():
    factor = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curvature = factor @ factor.T
    root = whitening(curvature, gamma=2.0, nbeta=5.0, diagonal=False)
    posterior = torch.linalg.inv(5.0 * curvature + 2.0 * torch.eye(6))
    torch.testing.assert_close(root @ root.T, posterior)
    diagonal = whitening(curvature, gamma=2.0, nbeta=5.0, diagonal=True)
    torch.testing.assert_close(diagonal, (5.0 * curvature.diagonal() + 2.0).rsqrt().diag())


def test_products_are_those_with_the_hessian_over_all_batches(curved):
    task, trusted, exact = curved
    multiply = hessian_product(task, trusted)
    found = torch.stack([multiply(v) for v in torch.eye(51)])
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)


def test_own_outputs_are_the_targets_where_there_are_no_labels(curved):
    task, trusted, _ = curved
    own = Examples(x=trusted.x, y=task.predict(trusted))
    vector = torch.ones(51)
    assert hessian_product(task, Examples(x=trusted.x))(vector).equal(hessian_product(task, own)(vector))
