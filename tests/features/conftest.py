import pytest
import torch

from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens


@pytest.fixture(scope="session")
def language(base):
    """A tiny untrained language model with 40 trusted examples and 80 inputs of many lengths."""
    model = load_causal_lm(base)
    # transformers hooks a model for good when it is first asked for hidden states.
    model(torch.tensor([[1, 2]]), output_hidden_states=True)
    generator = torch.Generator().manual_seed(0)

    def drawn(n):
        lengths = torch.randint(2, 7, (n, 2), generator=generator).tolist()
        parts = [[torch.randint(40, (length,), generator=generator).tolist() for length in pair] for pair in lengths]
        return Examples(x=join_tokens(*zip(*parts, strict=True), length=12))

    return CausalLMTask(model, device="cpu"), drawn(40), drawn(80)
