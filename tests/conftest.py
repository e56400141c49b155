import os

import pytest
import torch
from factories import by_name, save_language_model
from torch import nn
from torch.func import functional_call, hessian

from anomech.examples import Examples
from anomech.organisms.fashion import demo_split, shipped_model
from anomech.tasks import ClassificationTask, Task

# Threads that wait for one another on a busy machine cost more than these small models gain from them.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


class RegressionTask(Task):
    """Linear regression with loss (output - y)^2 / 2 against given targets, whose posterior is known."""

    def outputs(self, model, x):
        return model(x).squeeze(1)

    def own_output(self, outputs):
        return outputs

    def loss(self, outputs, targets):
        return (outputs - targets) ** 2 / 2


@pytest.fixture
def regression():
    """A least-squares task `[d]`, and its examples with their residuals."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=generator) * torch.tensor([2.0, 1.0, 0.5])
    y = x @ torch.tensor([1.0, -1.0, 0.5]) + torch.randn(40, generator=generator)
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.linalg.lstsq(x, y[:, None]).solution.T
    return RegressionTask(model, device="cpu"), Examples(x=x, y=y)


@pytest.fixture(scope="session")
def curved():
    """A classifier with 51 weights, 20 examples, and the exact Hessian `[51, 51]` of their mean loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    task = ClassificationTask(model, device="cpu", batch_size=7)
    generator = torch.Generator().manual_seed(1)
    trusted = Examples(x=torch.randn(20, 4, generator=generator), y=torch.randint(3, (20,), generator=generator))

    def loss(weights):
        return nn.functional.cross_entropy(functional_call(task.model, by_name(task, weights), trusted.x), trusted.y)

    return task, trusted, hessian(loss)(torch.cat([p.detach().flatten() for p in model.parameters()]))


@pytest.fixture(scope="session")
def fashion():
    """The shipped backdoored model with 240 trusted examples and 190 inputs."""
    trusted, inputs = demo_split(trusted=240)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randperm(int((~inputs.anomalous).sum()), generator=generator)[:100]
    attacked = int((~inputs.anomalous).sum()) + torch.randperm(900, generator=generator)[:90]
    return ClassificationTask(shipped_model()), trusted, inputs[torch.cat([clean, attacked])]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Folder of a tiny untrained chat model with a tokenizer of words."""
    pytest.importorskip("transformers")
    return save_language_model(tmp_path_factory.mktemp("base"))
