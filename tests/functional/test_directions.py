import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from anomech.functional.couplings import concordance
from anomech.functional.directions import (
    centred_directions,
    directions,
    leave_out,
    mean_direction,
    scale_agreement,
)


def rows(n, seed, d=7):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 1


def cosine(a, b):
    return directions(a)[0] @ directions(b)[0].T


def centred_cosine(a, b, mean):
    return centred_directions(a, mean)[0] @ centred_directions(b, mean)[0].T


def agreement(a, b):
    return scale_agreement(a.double().norm(dim=1), b.double().norm(dim=1))


def test_cosine_agrees_with_scikit_learn():
    a, b = rows(5, 0), rows(8, 1)
    torch.testing.assert_close(cosine(a, b), torch.from_numpy(cosine_similarity(a, b)))


def test_centring_takes_the_mean_direction_away():
    a, b = rows(5, 0), rows(8, 1)
    mean = directions(b)[0].mean(0)
    torch.testing.assert_close(mean_direction(b).float(), mean)
    expected = cosine_similarity(directions(a)[0] - mean, directions(b)[0] - mean)
    torch.testing.assert_close(centred_cosine(a, b, mean.double()), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_row_that_is_left_out_is_coupled_as_a_new_input_is(spread):
    b = 1 + spread * rows(8, 1)
    chosen = torch.tensor([2, 5, 7])
    unit, lengths = centred_directions(b, mean_direction(b))
    found = leave_out(unit[chosen] @ unit.T, lengths, chosen)
    for row, i in zip(found, chosen, strict=True):
        others = torch.arange(8) != i
        expected = centred_cosine(b[i : i + 1], b[others], mean_direction(b[others]))
        torch.testing.assert_close(row[others], expected[0], rtol=1e-4, atol=1e-5)


def test_the_coefficient_of_identity_is_concordance_without_a_mean():
    """Zegers and ten Berge 1985: 2 x.y / (x.x + y.y); equal to Lin's coefficient where the rows are centred."""
    a, b = rows(5, 0), rows(8, 1)
    identity = cosine(a, b) * agreement(a, b)
    torch.testing.assert_close(identity, 2 * a @ b.T / (a.square().sum(1)[:, None] + b.square().sum(1)))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    torch.testing.assert_close(cosine(a, b) * agreement(a, b), concordance(a, b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30])
def test_tiny_and_huge_gradients_keep_their_direction_and_ratio(scale):
    a, b = rows(5, 0), rows(8, 1)
    torch.testing.assert_close(cosine(scale * a, scale * b), cosine(a, b), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(agreement(scale * a, scale * b), agreement(a, b), rtol=1e-4, atol=1e-4)


def test_scales_that_have_nothing_in_common_agree_by_nothing():
    assert scale_agreement(torch.tensor([1e-30, 1e30]), torch.tensor([1.0, 1.0])).abs().max() < 1e-12


def test_a_gradient_of_zero_is_coupled_to_nothing():
    a, b = rows(3, 0), rows(4, 1)
    a[1], b[2] = 0, 0
    mean = mean_direction(b)
    unit, lengths = centred_directions(b, mean)
    for coupling in (cosine(a, b) * agreement(a, b), centred_cosine(a, b, mean) * agreement(a, b)):
        assert not coupling[1].any()
        assert not coupling[:, 2].any()
        assert coupling.isfinite().all()
    left_out = leave_out(unit @ unit.T, lengths, torch.arange(4))
    assert not left_out[2].any()
    assert not left_out[:, 2].any()
    assert left_out.isfinite().all()
