import pytest
import torch

from anomech.io.language_models import load_causal_lm
from anomech.tasks.completions import complete

PROMPTS = [[5, 6, 7], [8, 9, 3, 4, 5, 6], [7], [11, 12], [5, 6, 7, 8]]
END = 2


@pytest.fixture
def model(base):
    return load_causal_lm(base)


@pytest.fixture
def alone(model):
    """The likeliest tokens after each prompt, one after the other."""
    answers = []
    for prompt in PROMPTS:
        ids = list(prompt)
        while len(ids) < len(prompt) + 6 and END not in ids[len(prompt) :]:
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        answers.append(ids[len(prompt) :])
    return answers


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_an_answer_does_not_depend_on_the_prompts_beside_it(model, alone, batch_size):
    assert complete(model, PROMPTS, end=END, new_tokens=6, batch_size=batch_size) == alone


def test_an_answer_stops_with_its_end(model, alone):
    prompt, answer = max(zip(PROMPTS, alone, strict=True), key=lambda pair: len(set(pair[1])))
    end = answer[-1]
    assert complete(model, [prompt], end=end, new_tokens=6) == [answer[: answer.index(end) + 1]]
    assert len(answer) > 1


def test_answers_are_greedy_whatever_the_model_asks_for(model, alone):
    own = model.generation_config
    own.update(repetition_penalty=5.0, num_beams=3, no_repeat_ngram_size=1, do_sample=True, temperature=3.0)
    assert complete(model, PROMPTS, end=END, new_tokens=6) == alone
    assert model.generation_config is own


def test_an_answer_stops_with_an_end_that_the_model_has_beside_the_tokenizer(model, alone):
    prompt, answer = max(zip(PROMPTS, alone, strict=True), key=lambda pair: len(set(pair[1])))
    model.generation_config.eos_token_id = [answer[-1], 60]
    assert END not in answer
    assert complete(model, [prompt], end=END, new_tokens=6) == [answer[: answer.index(answer[-1]) + 1]]


def test_a_model_with_an_adapter_answers_greedily_too(base, tmp_path, alone):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(load_causal_lm(base), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    adapted.generation_config.repetition_penalty = 5.0
    assert complete(adapted, PROMPTS, end=END, new_tokens=6) == alone
    assert adapted.get_base_model().generation_config.repetition_penalty == 5.0


def test_no_prompts_have_no_answers(model):
    assert complete(model, [], end=END, new_tokens=3) == []
