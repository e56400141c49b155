import pytest
import torch

from anomech.examples import Examples
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens


@pytest.fixture(scope="session")
def language():
    """A tiny untrained language model with 40 trusted examples and 80 inputs of many lengths."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config)
    # transformers hooks a model for good when it is first asked for hidden states.
    model(torch.tensor([[1, 2]]), output_hidden_states=True)
    generator = torch.Generator().manual_seed(0)

    def drawn(n):
        lengths = torch.randint(2, 7, (n, 2), generator=generator).tolist()
        parts = [[torch.randint(40, (length,), generator=generator).tolist() for length in pair] for pair in lengths]
        return Examples(x=join_tokens(*zip(*parts, strict=True), length=12))

    return CausalLMTask(model, device="cpu"), drawn(40), drawn(80)
