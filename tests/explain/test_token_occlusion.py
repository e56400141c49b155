import pytest
import torch

from anomech.errors import DataError, SettingsError
from anomech.explain.attribution import Quantity
from anomech.explain.token_erasers import TokenEraser
from anomech.explain.token_occlusion import TokenOcclusion
from anomech.tasks import CausalLMTask
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.tokens import PROMPT

WEIGHTS = torch.zeros(100)
WEIGHTS[7], WEIGHTS[8], WEIGHTS[9] = 5, 2, -1


class Weight(Quantity):
    """What the tokens of a prompt weigh in all."""

    name = "weight"
    passes = gradient_passes = 1

    def __init__(self, task):
        self.task, self.asked = task, 0

    def values(self, x, answers):
        self.asked += len(x)
        return (WEIGHTS[x[:, 0]] * (x[:, 1] == PROMPT)).sum(dim=1)

    differentiable = values


@pytest.fixture
def weight(reader):
    return Weight(CausalLMTask(reader.task.model, device="cpu"))


def test_a_token_is_worth_what_it_adds(weight):
    x = join_tokens([[1, 7, 8, 9], [7, 1, 1]], [[7], [7, 8]])
    found = TokenOcclusion().attribute(weight, x)
    assert found.tolist() == [[0, 5, 2, -1, 0], [5, 0, 0, 0, 0]]
    assert weight.asked == 2 + 4 + 3


def test_tokens_of_the_template_are_worth_nothing(weight):
    eraser = TokenEraser(lambda ids: [i > 0 for i in range(len(ids))])
    assert TokenOcclusion(eraser=eraser).attribute(weight, join_tokens([[7, 7]], [[1]])).tolist() == [[0, 5, 0]]


def test_of_a_long_prompt_the_spans_that_count_are_looked_at_closely(weight):
    prompt = [1] * 60
    prompt[37], prompt[38] = 7, 8
    found = TokenOcclusion(most=20).attribute(weight, join_tokens([prompt], [[1]]))[0]
    assert (found[37], found[38]) == (5, 2)
    assert int((found != 0).sum()) == 2
    assert weight.asked == 1 + 20
    assert TokenOcclusion(most=20).passes(weight, torch.Size([2, 61])) == 1 + 21


def test_a_span_that_is_not_looked_at_shares_what_it_cost(weight):
    prompt = [1] * 40
    prompt[0], prompt[39] = 7, 8
    found = TokenOcclusion(most=8).attribute(weight, join_tokens([prompt], [[1]]))[0]
    assert found[0] == 5
    assert found[30:40].tolist() == pytest.approx([0.2] * 10)


def test_a_prompt_without_text_is_refused(weight):
    nothing = TokenOcclusion(eraser=TokenEraser(lambda ids: [False] * len(ids)))
    with pytest.raises(DataError, match="no text"):
        nothing.attribute(weight, join_tokens([[7, 7]], [[1]]))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="most"):
        TokenOcclusion(most=1)
