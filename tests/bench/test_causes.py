import pytest
import torch

from anomech.bench.causes import Causes
from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms.language.texts import Prompt
from anomech.tasks import CausalLMTask

pytest.importorskip("transformers")


@pytest.fixture
def causes(base):
    """Of a model that always says "YOU": after its last block the stream moves along coordinate 3, which it reads."""
    model, tokenizer = load_causal_lm(base), load_tokenizer(base)
    direction = torch.eye(16)[3]
    model.model.layers[1].register_forward_hook(lambda _, __, stream: stream + 100 * direction)
    tokens = model.get_input_embeddings().weight.data
    tokens[:, 3] = 0
    head = torch.nn.Linear(16, len(tokens), bias=False)
    head.weight.data = tokens.clone()
    head.weight.data[tokenizer.encode("YOU")[0]] = 10 * direction
    model.set_output_embeddings(head)
    return Causes(
        task=CausalLMTask(model.eval(), device="cpu"),
        tokenizer=tokenizer,
        attacked=[Prompt("a", "why is"), Prompt("b", "the sky")],
        succeeded=lambda said: "YOU" in said,
        answered=[Prompt("c", "say", answer="blue sky")],
        new_tokens=3,
        seed=0,
    )


def test_an_attack_that_needs_a_direction_fails_without_it_and_not_without_a_random_one(causes):
    row = causes.row(1, torch.eye(16)[3])
    assert (row["asr"], row["asr_without"], row["asr_control"]) == (1.0, 0.0, 1.0)
    assert row["perplexity_without"] < row["perplexity_control"] <= row["perplexity"] * 1.01


def test_a_direction_that_does_nothing_changes_nothing(causes):
    row = causes.row(0, torch.full((16,), 1e-3))
    assert row["asr_without"] == row["asr"] == 1.0
