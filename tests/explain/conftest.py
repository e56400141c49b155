import pytest
import torch

from anomech.auditor import Auditor
from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens


@pytest.fixture(scope="session")
def auditor(fashion):
    """Fitted on the shipped backdoored model."""
    task, trusted, _ = fashion
    return Auditor(task).fit(trusted)


@pytest.fixture(scope="session")
def triggered(fashion):
    """Four images with the trigger, a checkerboard of 4x4 pixels in the lower right corner."""
    _, _, inputs = fashion
    return inputs.x[inputs.anomalous][:4]


@pytest.fixture(scope="session")
def reader(base):
    """An auditor of a tiny language model, fitted on prompts of five tokens."""
    prompts = torch.randint(3, 50, (24, 5), generator=torch.Generator().manual_seed(0)).tolist()
    task = CausalLMTask(load_causal_lm(base), batch_size=16, device="cpu")
    return Auditor(task).fit(Examples(x=join_tokens(prompts, [[3 + i % 7, 9, 2] for i in range(24)])))


@pytest.fixture
def prompts():
    """Four prompts of different lengths with completions."""
    return join_tokens([[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16, 17], [18, 19]], [[4, 2], [5], [6, 7, 2], [8]])
