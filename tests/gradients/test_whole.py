import pytest
import torch
from torch import nn

from anomech.errors import ModelError
from anomech.examples import Examples
from anomech.gradients.whole import whole_gradients
from anomech.tasks import ClassificationTask


def test_they_are_those_of_autograd_one_input_at_a_time(curved):
    task, trusted, _ = curved
    found = [g.clone() for g in whole_gradients(task, trusted, doing="gradients")]
    assert len(found) == len(trusted)
    for i in (0, 7):
        logits = task.model(trusted.x[i : i + 1])
        value = task.evidence(logits, logits.argmax(1)).sum()
        expected = torch.autograd.grad(value, list(task.model.parameters()))
        torch.testing.assert_close(found[i], torch.cat([g.flatten() for g in expected]), rtol=1e-5, atol=1e-6)


def test_neither_the_weights_nor_the_gradients_of_the_model_change(curved):
    task, trusted, _ = curved
    before = task.model_sha256()
    for _ in whole_gradients(task, trusted, doing="gradients"):
        pass
    assert task.model_sha256() == before
    assert all(p.grad is None for p in task.model.parameters())


def test_their_cost_is_counted(curved):
    task, trusted, _ = curved
    before = task.cost.forward_passes
    assert len(list(whole_gradients(task, trusted, doing="gradients"))) == 20
    assert task.cost.forward_passes - before == 60


def test_a_detached_output_is_refused():
    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    task = ClassificationTask(Detached(4, 3), device="cpu")
    with pytest.raises(ModelError, match="the model's output has no gradient; it detaches it"):
        next(whole_gradients(task, Examples(x=torch.ones(2, 4)), doing="gradients"))
