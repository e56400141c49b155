import pytest
import torch

from anomech.functional.dictionaries import (
    badly_rebuilt,
    batch_top_k,
    fitting_scale,
    jump_relu,
    matched_cosine,
    part_norms,
    top_k,
    variance_explained,
    weighted_l1,
    without_directions,
)


@pytest.fixture
def pre():
    return torch.randn(7, 20, generator=torch.Generator().manual_seed(0)) + 3


def test_top_k_keeps_exactly_k_of_each_row(pre):
    codes = top_k(pre, 5)
    assert ((codes > 0).sum(dim=1) == 5).all()
    for row, code in zip(pre, codes, strict=True):
        assert torch.equal(code[code > 0].sort().values, row.sort().values[-5:])


def test_batch_top_k_keeps_exactly_k_a_row_on_average(pre):
    pre[0] += 10
    codes = batch_top_k(pre, 5)
    assert int((codes > 0).sum()) == 35
    assert int((codes[0] > 0).sum()) == 20


def test_what_is_negative_is_not_kept():
    pre = torch.tensor([[-1.0, 2.0, -3.0], [-1.0, -2.0, -3.0]])
    expected = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.equal(top_k(pre, 2), expected)
    assert torch.equal(batch_top_k(pre, 2), expected)
    assert torch.equal(top_k(pre, 9), expected)


def test_a_threshold_is_not_kept_itself():
    assert jump_relu(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0.0, 2.0, 2.0])).tolist() == [[1.0, 0.0, 3.0]]


def test_codes_count_with_the_norms_that_they_decode_to():
    norms = part_norms(torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 1.0, 0.0, 2.0]]), 2)
    assert norms.tolist() == [[5.0, 0.0], [1.0, 2.0]]
    assert weighted_l1(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), norms) == (5 + 2 * 3) / 2


def test_the_mean_explains_nothing_and_the_rows_everything(pre):
    centre = pre.mean(dim=0)
    assert variance_explained(pre, pre, centre) == 1
    assert variance_explained(pre, centre.expand_as(pre), centre) == 0
    assert variance_explained(pre, pre + 100, centre) < 0


def test_rows_without_error_are_not_drawn():
    values, errors = 3 * torch.eye(4), torch.tensor([0.0, 1.0, 0.0, 2.0])
    drawn = badly_rebuilt(values, errors, 500, torch.Generator().manual_seed(0))
    assert (drawn.norm(dim=1) == 1).all()
    # Squared errors are as 1 to 4.
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([0.0, 0.2, 0.0, 0.8]), atol=0.06, rtol=0)


def test_a_scale_is_that_of_least_squares_and_neither_turns_nor_lengthens(pre):
    rebuilt = 3 * pre
    assert float(fitting_scale(pre, rebuilt)) == pytest.approx(1 / 3)
    assert float(fitting_scale(rebuilt, pre)) == 1
    assert float(fitting_scale(pre, -pre)) == 0
    assert float(fitting_scale(pre, torch.zeros_like(pre))) == 0


def test_a_dictionary_is_matched_whatever_the_order_and_scale():
    truth = torch.eye(3)
    assert matched_cosine(truth, 5 * truth.flip(0)) == pytest.approx(1)
    assert matched_cosine(truth, truth[:2]) == pytest.approx(2 / 3)


def test_directions_are_taken_away_even_if_they_are_alike():
    directions = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 1.0, 0.0]])
    values = torch.tensor([[[3.0, 4.0, 5.0]]])
    torch.testing.assert_close(without_directions(values, directions), torch.tensor([[[0.0, 0.0, 5.0]]]))
    torch.testing.assert_close(without_directions(values, directions[:1]), torch.tensor([[[-0.5, 0.5, 5.0]]]))
