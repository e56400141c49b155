import pytest
import torch
from torch.nn import functional as F

from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.features import TokenLosses
from anomech.tasks.causal_lm import join_tokens


@pytest.mark.parametrize("part", ["prompt", "completion"])
def test_the_loss_is_the_mean_of_the_tokens_of_the_part(language, tmp_path, part):
    task, _, inputs = language
    found = TokenLosses(part).extract(task, inputs, tmp_path).layers[part]
    for i in (0, 5, 11):
        ids, roles = inputs.x[i]
        with torch.no_grad():
            losses = F.cross_entropy(task.model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        expected = losses[roles[1:] == (1 if part == "prompt" else 2)].mean()
        torch.testing.assert_close(found[i, 0], expected, atol=1e-5, rtol=1e-4)


def test_a_prompt_of_one_token_has_nothing_to_predict(language, tmp_path):
    task, *_ = language
    single = Examples(x=join_tokens([[5], [5, 6]], [[7], [7]]))
    losses = TokenLosses("prompt").extract(task, single, tmp_path).layers["prompt"][:, 0]
    assert losses[0] == 0
    assert losses[1] > 0


def test_images_have_none(fashion, tmp_path):
    task, _, inputs = fashion
    with pytest.raises(SettingsError, match="those of a language model"):
        TokenLosses().extract(task, inputs, tmp_path)


def test_the_part_is_checked():
    with pytest.raises(SettingsError, match='"prompt" or "completion"'):
        TokenLosses("answer")
