import torch

from anomech.explain.asking import Asking
from anomech.explain.quantities import Anomaly
from anomech.tasks.causal_lm import join_tokens
from anomech.tasks.completions import complete


def test_completions_become_the_models_own(reader, prompts):
    ask = Asking(reader.task, 2, 3)
    own = [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16, 17], [18, 19]]
    before = reader.task.cost.forward_passes
    found = ask(prompts)
    assert torch.equal(found, join_tokens(own, complete(reader.task.model, own, end=2, new_tokens=3)))
    assert reader.task.cost.forward_passes == before + 4


def test_an_anomaly_can_be_that_of_the_answer_to_each_copy(reader, prompts):
    ask = Asking(reader.task, 2, 3)
    asked, given = Anomaly(reader, ask), Anomaly(reader)
    zeros = torch.zeros(4)
    torch.testing.assert_close(asked.values(prompts, zeros), given.values(ask(prompts), zeros), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(asked.values(prompts, zeros), given.values(prompts, zeros), rtol=1e-2)
    assert (asked.passes, given.passes) == (4, 3)
    assert asked.gradient_passes == given.gradient_passes == 9
