import pytest
import torch
from torch import nn

from anomech.errors import ModelError
from anomech.gradients.embeddings import embedded, known_tokens, mean_embedding, token_embeddings
from anomech.io.language_models import load_causal_lm


def test_the_model_takes_what_it_is_given_for_embeddings(base):
    model = load_causal_lm(base)
    one, other = torch.tensor([[3, 4, 5]]), torch.tensor([[6, 7, 8]])
    with torch.no_grad():
        expected = model(other).logits
        with embedded(model, token_embeddings(model, torch.tensor([[6, 7, 8, 0]]))):
            assert torch.equal(model(one).logits, expected)
        assert not torch.equal(model(one).logits, expected)


def test_all_tokens_have_a_mean(base):
    model = load_causal_lm(base)
    every = token_embeddings(model, torch.arange(known_tokens(model))[None])
    torch.testing.assert_close(mean_embedding(model), every[0].mean(dim=0))


def test_a_model_that_does_not_say_where_tokens_are_is_named():
    with pytest.raises(ModelError, match="Linear does not say"):
        token_embeddings(nn.Linear(2, 2), torch.zeros(1, 2, dtype=torch.int64))
