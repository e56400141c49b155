import pytest
import torch
from torch import nn

from anomech.errors import ModelError, SettingsError
from anomech.explain.gradients import Gradient, IntegratedGradients
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Output
from anomech.tasks import ClassificationTask


class Preprocessed(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.step = step
        self.layer = nn.Linear(36, 3)

    def forward(self, x):
        return self.layer(self.step(x).flatten(1))


def output(step):
    torch.manual_seed(0)
    return Output(ClassificationTask(Preprocessed(step), device="cpu"))


@pytest.mark.parametrize("attribution", [Gradient(), IntegratedGradients()], ids=str)
def test_a_step_that_leaves_torch_has_no_gradient(attribution):
    quantity = output(lambda x: torch.from_numpy(x.detach().numpy()))
    with pytest.raises(ModelError, match=r"no gradient of the output reaches the input.*occlusion"):
        attribution.attribute(quantity, torch.rand(2, 1, 6, 6))


@pytest.mark.parametrize("attribution", [Gradient(), IntegratedGradients()], ids=str)
def test_a_step_that_rounds_has_a_gradient_of_zero(attribution):
    quantity = output(lambda x: (255 * x).round() / 255)
    with pytest.raises(ModelError, match=r"zero everywhere.*occlusion"):
        attribution.attribute(quantity, torch.rand(2, 1, 6, 6))


def test_occlusion_takes_no_gradient():
    quantity = output(lambda x: torch.from_numpy((255 * x).round().numpy() / 255))
    assert Occlusion().attribute(quantity, torch.rand(2, 1, 6, 6)).any()


def test_a_number_that_is_none_is_an_error():
    quantity = output(lambda x: x)
    quantity.task.evidence = lambda outputs, answers: outputs[:, 0] * torch.nan
    with pytest.raises(ModelError, match="the output is NaN"):
        Gradient().attribute(quantity, torch.rand(2, 1, 6, 6))


def test_what_is_no_image_is_refused():
    with pytest.raises(SettingsError, match="images"):
        Gradient().attribute(output(lambda x: x), torch.rand(2, 36))
