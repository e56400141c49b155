import torch
from torch import nn

from anomech import ClassificationTask, Examples
from anomech.tasks import memory
from anomech.tasks.memory import COPIES, SHARE, inputs_that_fit


def test_as_many_inputs_as_their_layers_outputs_take(monkeypatch):
    monkeypatch.setattr(memory, "_free_bytes", lambda device: 10**6)
    model = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 5))
    taken = 4 * (10 + 100 + 100 + 5)
    assert inputs_that_fit(model, model, torch.zeros(1, 10)) == int(SHARE * 10**6) // (COPIES * taken)


def test_a_batch_is_never_empty_nor_larger_than_asked_for(monkeypatch):
    inputs = Examples(x=torch.zeros(20, 10))
    for free, expected in ((0, 1), (10**9, 16)):
        monkeypatch.setattr(memory, "_free_bytes", lambda device, free=free: free)
        task = ClassificationTask(nn.Linear(10, 5), batch_size=16, device="cpu")
        assert task.fitting(inputs) == expected
        assert len(task.predict(inputs)) == 20
        assert task.cost.forward_passes == 20
