import pytest
import torch

from anomech.errors import DataError, SettingsError
from anomech.explain.token_erasers import TokenEraser, require_text
from anomech.tasks.causal_lm import join_tokens


def framed(ids):
    """The first and the last token of a prompt are its template's."""
    return [0 < i < len(ids) - 1 for i in range(len(ids))]


@pytest.fixture
def x():
    return join_tokens([[1, 5, 6, 2], [1, 7, 2]], [[8, 9], [10]])


def hide(*places):
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    for place in places:
        hidden[place] = True
    return hidden


def test_only_the_text_of_a_prompt_may_go(x):
    assert TokenEraser(framed).erasable(x).int().tolist() == [[0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert TokenEraser().erasable(x).int().tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]]
    assert TokenEraser().places(x) == (6,)


def test_what_is_left_closes_up(x):
    found = TokenEraser().erase(x, hide((0, 1), (1, 1)))
    assert found.tolist() == [
        [[1, 6, 2, 8, 9, 0], [1, 1, 1, 2, 2, 0]],
        [[1, 2, 10, 0, 0, 0], [1, 1, 2, 0, 0, 0]],
    ]
    assert torch.equal(x, join_tokens([[1, 5, 6, 2], [1, 7, 2]], [[8, 9], [10]]))


def test_a_neutral_token_keeps_the_places(x):
    found = TokenEraser(neutral=3).erase(x, hide((0, 1)))
    assert found[0].tolist() == [[1, 3, 6, 2, 8, 9], [1, 1, 1, 1, 2, 2]]
    assert torch.equal(found[1], x[1])


def test_nothing_hidden_changes_nothing(x):
    assert torch.equal(TokenEraser().erase(x, hide()), x)


def test_of_a_whole_prompt_the_first_token_stays(x):
    found = TokenEraser().erase(x, TokenEraser().erasable(x))
    assert found[:, :, :3].tolist() == [[[1, 8, 9], [1, 2, 2]], [[1, 10, 0], [1, 2, 0]]]


def test_a_prompt_that_is_all_template_is_named(x):
    with pytest.raises(DataError, match=r"1 of 2 prompts, first at 1, have no text.*chat template"):
        require_text(TokenEraser(lambda ids: [len(ids) > 3] * len(ids)), x)


def test_images_are_no_texts():
    with pytest.raises(SettingsError, match="one of texts"):
        TokenEraser().places(torch.rand(2, 3, 8, 8))
