import pytest
import torch
from torch import nn

from anomech.errors import ModelError, SettingsError
from anomech.features import Activations
from anomech.tasks import ClassificationTask, SequenceClassificationTask


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


def test_every_layer_is_averaged_over_positions(fashion, tmp_path):
    task, _, inputs = fashion
    found = Activations("every").extract(task, inputs, tmp_path)
    assert list(found.layers) == ["features.0", "features.3", "features.6", "classifier"]
    assert [values.shape[1] for values in found.layers.values()] == [16, 32, 64, 10]
    with torch.no_grad():
        first = task.model.features[0](inputs.x).mean(dim=(2, 3))
    torch.testing.assert_close(found.layers["features.0"], first)
    logits = Activations("output").extract(task, inputs, tmp_path)
    assert torch.equal(found.layers["classifier"], logits.only_layer)
    assert torch.equal(found.predictions, logits.predictions)


class Tokens(nn.Module):
    """Linear layers on tokens; one runs twice, one on pieces of the inputs, one never."""

    def __init__(self):
        super().__init__()
        self.embed, self.twice, self.pieces = nn.Linear(28, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head, self.unused = nn.Linear(6, 10), nn.Linear(2, 2)

    def forward(self, x):
        tokens = self.twice(self.twice(self.embed(x[:, 0])))
        return self.head(self.pieces(tokens.flatten(0, 1)).view(tokens.shape).mean(1))


def test_of_a_layer_on_tokens_the_mean_is_kept_and_layers_without_one_row_an_input_are_left_out(fashion, tmp_path):
    _, _, inputs = fashion
    torch.manual_seed(0)
    task = ClassificationTask(Tokens(), batch_size=50)
    found = Activations("every").extract(task, inputs, tmp_path).layers
    assert list(found) == ["embed", "head"]
    with torch.no_grad():
        torch.testing.assert_close(found["embed"], task.model.embed(inputs.x[:, 0]).mean(1))


def test_a_model_without_any_such_layer_is_refused(fashion, tmp_path):
    _, _, inputs = fashion
    task = ClassificationTask(nn.Sequential(nn.AdaptiveAvgPool2d((2, 5)), nn.Flatten()))
    with pytest.raises(ModelError, match="no convolution and no linear layer"):
        Activations("every").extract(task, inputs, tmp_path)


def test_a_model_that_runs_no_layer_once_an_input_is_refused(fashion, tmp_path):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(10, 10)

        def forward(self, x):
            return self.layer(self.layer(x.flatten(1)[:, :10]))

    _, _, inputs = fashion
    with pytest.raises(ModelError, match="gives one row of activations an input"):
        Activations("every").extract(ClassificationTask(Twice()), inputs, tmp_path)


def test_an_unknown_layer_is_refused():
    with pytest.raises(SettingsError, match="penultimate"):
        Activations("block3")


def test_means_over_every_token_of_texts_are_refused(texts, tmp_path):
    task, _, inputs = texts
    with pytest.raises(SettingsError, match="means over positions, and texts differ in how many they have; choose"):
        Activations("every").extract(task, inputs, tmp_path)


def test_a_text_classifier_whose_last_layer_runs_on_every_token_is_refused(texts, tmp_path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(**sizes, vocab_size=40, num_labels=3, pad_token_id=0)
    task = SequenceClassificationTask(transformers.LlamaForSequenceClassification(config), batch_size=7, device="cpu")
    _, _, inputs = texts
    with pytest.raises(ModelError, match="gives one row of activations an input; choose another detector"):
        Activations().extract(task, inputs, tmp_path)
