import pytest
import torch
from torch import nn

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.explain.placement import WIDTH, cosines, place_gradients
from anomech.functional.directions import directions
from anomech.gradients.sharp import sharp_directions
from anomech.gradients.whole import whole_gradients
from anomech.tasks import ClassificationTask


@pytest.fixture(scope="module")
def placed(curved):
    """Directions of the small classifier, its examples, their gradients, and where these lie."""
    task, trusted, exact = curved
    gradients = torch.stack([g.clone() for g in whole_gradients(task, trusted, doing="gradients")])
    sharp = sharp_directions(task, trusted, count=5)
    return task, trusted, exact, gradients, sharp, place_gradients(task, trusted, sharp)


def test_shares_are_those_in_the_exact_eigenvectors(placed):
    *_, exact, gradients, _, found = placed
    vectors = torch.linalg.eigh(exact.double()).eigenvectors.flip(1)[:, :5]
    exactly = (gradients.double() @ vectors).square().cumsum(1) / gradients.double().square().sum(1, keepdim=True)
    torch.testing.assert_close(found.shares, exactly, rtol=0, atol=2e-3)


class Faint(ClassificationTask):
    def evidence(self, outputs, targets):
        return 1e-30 * super().evidence(outputs, targets)


def test_shares_do_not_depend_on_how_large_a_gradient_is(placed):
    task, trusted, _, _, sharp, found = placed
    faint = place_gradients(Faint(task.model, device="cpu"), trusted, sharp)
    torch.testing.assert_close(faint.shares, found.shares, rtol=0, atol=1e-4)
    torch.testing.assert_close(faint.sketches, found.sketches, rtol=0, atol=1e-4)


class Dead(nn.Module):
    def forward(self, x):
        return 0 * x


def test_cosines_are_those_of_the_gradients_and_of_none_with_itself(placed):
    _, trusted, _, gradients, _, found = placed
    exactly = directions(gradients)[0] @ directions(gradients)[0].T
    pairs = cosines(found, found)
    assert pairs.diagonal().isnan().all()
    apart = ~torch.eye(len(trusted), dtype=torch.bool)
    assert (pairs - exactly)[apart].abs().mean() < 2 / WIDTH**0.5


def test_they_are_the_same_whatever_is_with_them(placed):
    task, trusted, _, _, sharp, found = placed
    alone = place_gradients(task, trusted[torch.tensor([7])], sharp)
    torch.testing.assert_close(alone.shares[0], found.shares[7])
    torch.testing.assert_close(alone.sketches[0], found.sketches[7])


def test_zero_gradients_everywhere_are_one_sentence(placed):
    task, trusted, _, _, sharp, _ = placed
    dead = ClassificationTask(nn.Sequential(*task.model, Dead()), device="cpu")
    with pytest.raises(ModelError, match="none of the 20 inputs has a gradient: the model's answer does not depend on"):
        place_gradients(dead, Examples(x=trusted.x), sharp)
