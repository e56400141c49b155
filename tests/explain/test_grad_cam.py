import pytest
import torch
from torch import nn

from anomech.errors import ModelError, SettingsError
from anomech.explain.grad_cam import GradCAM
from anomech.explain.quantities import Anomaly, Output
from anomech.tasks import ClassificationTask


def test_a_module_that_is_not_there_is_answered_with_near_matches(auditor, triggered):
    with pytest.raises(SettingsError, match=r"no module .* 'feature\.6'; did you mean features\.6"):
        GradCAM(layer="feature.6").attribute(Output(auditor.task), triggered)


def test_a_module_without_a_feature_map_is_refused(auditor, triggered):
    with pytest.raises(ModelError, match="no feature map"):
        GradCAM(layer="classifier").attribute(Output(auditor.task), triggered)


def test_it_explains_no_anomaly(auditor, triggered):
    with pytest.raises(SettingsError, match="not of the anomaly"):
        GradCAM().attribute(Anomaly(auditor), triggered)


def test_a_model_without_convolutions_has_no_map():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(SettingsError, match="no convolution"):
        GradCAM().attribute(Output(ClassificationTask(model, device="cpu")), torch.rand(2, 1, 6, 6))


def test_it_is_the_weighted_feature_map():
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 3, 1, bias=False)
    model = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    x = torch.rand(1, 1, 4, 4)
    own = int(model(x).argmax())
    # The log-odds of two classes is the difference of their logits.
    weights = (model[3].weight[own] - model[3].weight[1 - own]).detach() / 16
    expected = (weights[:, None, None] * convolution(x)[0].detach()).sum(dim=0).clamp_min(0)
    found = GradCAM().attribute(Output(ClassificationTask(model, device="cpu")), x)[0]
    torch.testing.assert_close(found, expected)
