import pytest
import torch
from torch import nn

from anomech.errors import ModelError, SettingsError
from anomech.features import Activations
from anomech.tasks import ClassificationTask


def test_penultimate_activations_explain_the_logits(fashion, tmp_path):
    task, _, inputs = fashion
    values = Activations().extract(task, inputs, tmp_path).only_layer
    logits = Activations("output").extract(task, inputs, tmp_path).only_layer
    with torch.no_grad():
        torch.testing.assert_close(task.model.classifier(values), logits)


def test_a_model_without_linear_layer_is_refused(fashion, tmp_path):
    _, _, inputs = fashion
    model = nn.Sequential(nn.Conv2d(1, 3, 28), nn.Flatten())
    with pytest.raises(ModelError, match="no linear layer"):
        Activations().extract(ClassificationTask(model), inputs, tmp_path)


def test_an_unknown_layer_is_refused():
    with pytest.raises(SettingsError, match="penultimate"):
        Activations("block3")
