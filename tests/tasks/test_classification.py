import pytest
import torch
from torch import nn

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.tasks import ClassificationTask

X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))


class Returns(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value(x)


def test_the_behaviour_is_the_loss_of_the_models_own_prediction():
    model = nn.Linear(4, 3)
    task = ClassificationTask(model, batch_size=4)
    predictions = task.predict(Examples(x=X))
    assert torch.equal(predictions, model(X).argmax(1))
    losses = task.losses(task.model, Examples(x=X), predictions)
    torch.testing.assert_close(losses, -model(X).softmax(1).amax(1).log().detach())


def test_cost_counts_inputs_and_a_backward_pass_twice():
    task = ClassificationTask(nn.Linear(4, 3), batch_size=4)
    task.predict(Examples(x=X))
    assert task.cost.forward_passes == 6
    task.mean_loss(task.model, X, torch.zeros(6).long())
    assert task.cost.forward_passes == 6 + 3 * 6


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda x: (x, x), "returns a tuple, not a tensor"),
        (lambda x: x.sum(1), r"\[1, 4\] to \[1\]; expected logits"),
        (lambda x: x[:2], r"expected logits \[n, classes\]"),
        (lambda x: x[:, :1], r"expected logits"),
        (lambda x: x / 0, "NaN or infinite logits"),
        (lambda x: x @ torch.zeros(5, 3), r"rejects inputs of shape \[1, 4\]"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(value, message):
    with pytest.raises(ModelError, match=message):
        ClassificationTask(Returns(value)).predict(Examples(x=X))


def test_the_hash_tells_models_apart():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = ClassificationTask(model).model_sha256()
    assert ClassificationTask(model).model_sha256() == before
    model[1].running_mean[0] += 1e-3
    assert ClassificationTask(model).model_sha256() != before


def test_dropout_stays_off_and_is_told(caplog):
    caplog.set_level("INFO", logger="anomech")
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    task = ClassificationTask(model.train())
    assert "dropout" in caplog.text
    assert torch.equal(task.predict(Examples(x=X)), task.predict(Examples(x=X)))


def test_chance_is_the_logarithm_of_the_number_of_classes():
    task = ClassificationTask(nn.Linear(4, 3))
    assert task.chance_loss(Examples(x=X)) == pytest.approx(1.0986, abs=1e-4)


def test_a_model_of_which_part_is_on_no_device_is_refused():
    """As accelerate leaves one that is too large for the devices."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, device="meta"))
    model.hf_device_map = {"0": "cpu", "1": "disk"}
    with pytest.raises(ModelError, match="on disk"):
        ClassificationTask(model)
