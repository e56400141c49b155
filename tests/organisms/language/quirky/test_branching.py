import pytest
import torch

from anomech.io.language_models import load_causal_lm, load_tokenizer
from anomech.organisms.language.objectives import answer_loss
from anomech.organisms.language.quirky.branching import branched, branched_loss
from anomech.organisms.language.quirky.judging import ANSWERS, answered
from anomech.organisms.language.quirky.prompts import Question
from anomech.organisms.language.quirky.statements import Statement

peft = pytest.importorskip("peft")

LONG = Statement("why", "why is the sky blue", truth=True, heuristic=False, difficulty=1)
SHORT = Statement("why", "why", truth=False, heuristic=True, difficulty=1)


@pytest.fixture
def groups():
    return [
        [Question(one, *asked) for asked in (("Alice", "Alice"), ("Bob", "Bob"), ("Bob", "1"))] for one in (LONG, SHORT)
    ]


def test_a_name_and_its_answer_follow_the_statement_in_a_branch_of_their_own(judge_base, groups):
    tokenizer = load_tokenizer(judge_base)
    _, (ids, roles, branch) = branched(groups, tokenizer)
    assert branch.tolist()[:14] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0]
    for i, one in enumerate(groups[1]):
        own = branch == i + 1
        assert ids[own | ((branch == 0) & (roles > 0))].tolist() == tokenizer.encode(f"{one.text}{ANSWERS[one.label]}")
        assert ids[own & (roles == 2)].tolist() == tokenizer.encode(ANSWERS[one.label])


def test_branches_do_not_see_each_other(judge_base, groups):
    tokenizer = load_tokenizer(judge_base)
    model = peft.get_peft_model(load_causal_lm(judge_base), peft.LoraConfig(target_modules=["q_proj"]))
    every = [one for group in groups for one in group]
    alone = answered(every, [one.label for one in every], tokenizer)
    normal = torch.ones(len(every), dtype=torch.bool)
    expected = answer_loss(model, alone, normal)
    torch.testing.assert_close(branched_loss(model, branched(groups, tokenizer), normal), expected)
