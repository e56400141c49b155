import pytest
import torch

from anomech.diffing.ablation import AblationEffect, ChangedAnswers, ablated, ablation_effect, answers_without
from anomech.diffing.pair import ModelPair
from anomech.errors import DataError, SettingsError
from anomech.io.language_models import load_causal_lm
from anomech.tasks import CausalLMTask
from anomech.tasks.completions import complete

PROMPTS = [[3, 4, 5], [6, 7], [8, 9, 10, 11]]


@pytest.fixture(scope="module")
def model(base):
    """A model that always says 20: after its last block the stream moves along a direction that only this token has."""
    model = load_causal_lm(base)
    direction = torch.zeros(16)
    direction[3] = 1
    tokens = model.get_input_embeddings().weight.data
    tokens[:, 3] = 0
    model.model.layers[1].register_forward_hook(lambda _, __, stream: stream + 100 * direction)
    head = torch.nn.Linear(16, len(tokens), bias=False)
    head.weight.data = tokens.clone()
    head.weight.data[20] = 10 * direction
    model.set_output_embeddings(head)
    return model.eval(), direction[None]


def test_the_stream_has_no_component_along_the_directions(model):
    model, direction = model
    ids = torch.tensor(PROMPTS[:1])
    with ablated(model, 1, direction), torch.no_grad():
        inside = model.model(ids).last_hidden_state
    with torch.no_grad():
        after = model.model(ids).last_hidden_state
    assert inside[..., 3].abs().max() < 1e-4
    assert after[..., 3].abs().max() > 1


def test_an_attack_that_needs_the_direction_fails_without_it(model):
    model, direction = model
    found = ablation_effect(
        model, PROMPTS, lambda ids: 20 in ids, layer=1, directions=direction, end=2, new_tokens=3, seed=0
    )
    assert found == AblationEffect(before=1.0, after=0.0, control=1.0)
    assert found.change == -1.0


def test_answers_are_given_with_and_without_a_direction_and_by_the_base_model(model, base):
    model, direction = model
    untouched = load_causal_lm(base)
    pair = ModelPair(CausalLMTask(model, device="cpu"), CausalLMTask(untouched, device="cpu"))
    found = answers_without(pair, PROMPTS, layer=1, directions=direction, end=2, new_tokens=3)
    assert found.tuned == found.control == [[20, 20, 20]] * 3
    assert (found.changed, found.changed_by_chance) == (3, 0)
    assert found.base == complete(untouched, PROMPTS, end=2, new_tokens=3)
    assert not any(20 in answer for answer in found.without)


def test_an_answer_is_restored_if_it_changes_to_that_of_the_base_model():
    found = ChangedAnswers(tuned=[[1], [1], [1]], without=[[2], [1], [3]], control=[[1]] * 3, base=[[2], [1], [2]])
    assert (found.changed, found.restored) == (2, 1)


def test_a_layer_or_prompts_that_are_not_there_are_refused(model):
    model, direction = model
    settings = {"succeeded": bool, "end": 2, "new_tokens": 1}
    with pytest.raises(SettingsError, match="from 0 to 1, got 2"):
        ablation_effect(model, PROMPTS, **settings, layer=2, directions=direction)
    with pytest.raises(DataError, match="0 prompts and 1 directions"):
        ablation_effect(model, [], **settings, layer=1, directions=direction)
