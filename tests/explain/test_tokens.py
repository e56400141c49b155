import pytest
import torch
from torch import nn

from anomech.auditor import Auditor
from anomech.detectors import GradientCoupling
from anomech.examples import Examples
from anomech.explain.tokens import score_tokens, split_by_token
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens

transformers = pytest.importorskip("transformers")


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    return transformers.LlamaForCausalLM(config)


def test_each_token_becomes_the_completion_of_all_before_it():
    x = join_tokens([[5, 6], [7]], [[1, 2], [3]])
    tokens, origins = split_by_token(x)
    assert origins.tolist() == [0, 0, 1]
    assert tokens.tolist() == [
        [[5, 6, 1, 0], [1, 1, 2, 0]],
        [[5, 6, 1, 2], [1, 1, 1, 2]],
        [[7, 3, 0, 0], [1, 2, 0, 0]],
    ]


def test_the_behaviour_of_a_completion_is_the_mean_of_its_tokens():
    task = CausalLMTask(llama(), device="cpu")
    x = join_tokens([[5, 6], [7]], [[1, 2, 9], [3]])
    tokens, origins = split_by_token(x)
    task.check_labels(Examples(x=tokens))
    with torch.no_grad():
        whole, parts = task.outputs(task.model, x), task.outputs(task.model, tokens)
    for i in range(2):
        torch.testing.assert_close(parts[origins == i].mean(0), whole[i])


def test_a_completion_of_one_token_has_the_score_of_its_input():
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(40, (14, 4), generator=generator).tolist()
    auditor = Auditor(CausalLMTask(llama(), device="cpu"), GradientCoupling())
    auditor.fit(Examples(x=join_tokens(prompts[:12], [[i, 3] for i in range(12)])))
    x = join_tokens(prompts[12:], [[8, 9, 10], [11]])
    first, second = score_tokens(auditor, x)
    assert (len(first), len(second)) == (3, 1)
    whole = auditor.audit(Examples(x=x)).scores
    assert second[0] == pytest.approx(float(whole[1]), rel=1e-3, abs=1e-4)
    assert first[0] != pytest.approx(float(whole[0]), rel=1e-3)
