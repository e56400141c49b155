import pytest
import torch
from torch.nn import functional as F

from anomech.errors import SettingsError
from anomech.functional.adversarial import l2_ascent
from anomech.organisms.models import MLP


def test_of_a_linear_loss_the_worst_point_of_the_ball_is_found():
    slope = torch.tensor([[0.6, -0.8, 0.0]])
    x = torch.full((1, 3), 0.5)
    found = l2_ascent(lambda x: (x * slope).sum(1), x, radius=0.2, steps=3)
    torch.testing.assert_close(found, x + 0.2 * slope)


def test_images_stay_in_range_and_a_flat_loss_leaves_them_alone():
    x = torch.tensor([[1.0, 0.5]])
    torch.testing.assert_close(l2_ascent(lambda x: x[:, 0], x, radius=1, steps=2), x)
    torch.testing.assert_close(l2_ascent(lambda x: 0 * x[:, 0], x, radius=1, steps=2), x)


def test_it_is_the_projected_gradient_ascent_of_foolbox():
    foolbox = pytest.importorskip("foolbox")
    torch.manual_seed(0)
    model, x, y = MLP(pixels=36, width=16).eval(), torch.rand(8, 1, 6, 6), torch.arange(8)
    ours = l2_ascent(lambda x: F.cross_entropy(model(x), y, reduction="none"), x, radius=0.7, steps=4)
    attack = foolbox.attacks.L2PGD(abs_stepsize=2.5 * 0.7 / 4, steps=4, random_start=False)
    theirs, _, _ = attack(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilons=0.7)
    torch.testing.assert_close(ours, theirs)
    assert ((ours - x).flatten(1).norm(dim=1) <= 0.7 + 1e-5).all()


@pytest.mark.parametrize(("radius", "steps"), [(0, 3), (-1, 3), (1, 0)])
def test_a_ball_without_extent_or_step_is_refused(radius, steps):
    with pytest.raises(SettingsError, match="a radius above 0 and a step"):
        l2_ascent(lambda x: x[:, 0], torch.rand(1, 2), radius=radius, steps=steps)
