import pytest
import torch

from anomech.examples import Examples
from anomech.io.language_models import load_causal_lm
from anomech.tasks import CausalLMTask, SequenceClassificationTask
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.tokens import pad_tokens


@pytest.fixture(scope="session")
def texts():
    """A tiny untrained text classifier with 40 trusted examples and 80 inputs of many lengths."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        **sizes, vocab_size=40, max_position_embeddings=16, num_labels=3, initializer_range=0.5
    )
    generator = torch.Generator().manual_seed(0)

    def drawn(n):
        lengths = torch.randint(2, 12, (n,), generator=generator).tolist()
        ids = [torch.randint(1, 40, (length,), generator=generator).tolist() for length in lengths]
        return Examples(x=pad_tokens(ids, length=12), y=torch.randint(3, (n,), generator=generator))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(config)
    return SequenceClassificationTask(model, device="cpu"), drawn(40), drawn(80)


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
