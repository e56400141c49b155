import pytest
import torch

from anomech.errors import DataError
from anomech.tasks.tokens import pad_tokens, trimmed


def test_texts_are_padded_on_the_right():
    x = pad_tokens([[5, 6, 7], [8]])
    assert x.tolist() == [[[5, 6, 7], [1, 1, 1]], [[8, 0, 0], [1, 0, 0]]]
    assert pad_tokens([[5]], length=3).tolist() == [[[5, 0, 0], [1, 0, 0]]]
    assert pad_tokens([[5, 6]], [[1, 2]])[0, 1].tolist() == [1, 2]


def test_only_what_is_padding_everywhere_is_trimmed():
    x = pad_tokens([[5, 6, 7], [8]], length=9)
    assert torch.equal(trimmed(x), x[:, :, :3])
    assert torch.equal(trimmed(x[1:]), x[1:, :, :1])


@pytest.mark.parametrize("texts", [[], [[5], []]])
def test_a_text_without_tokens_is_refused(texts):
    with pytest.raises(DataError, match="has no tokens, or there is none"):
        pad_tokens(texts)


def test_a_length_that_is_too_short_is_refused():
    with pytest.raises(DataError, match="has 3 tokens, more than length=2"):
        pad_tokens([[5, 6, 7]], length=2)
