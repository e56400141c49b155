import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from anomech.functional.couplings import concordance
from anomech.functional.directions import (
    centred_cosine,
    centred_cosine_left_out,
    cosine,
    directions,
    scale_agreement,
)


def rows(n, seed, d=7):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 1


def test_cosine_agrees_with_scikit_learn():
    a, b = rows(5, 0), rows(8, 1)
    torch.testing.assert_close(cosine(a, b), torch.from_numpy(cosine_similarity(a.double(), b.double())))


def test_centred_cosine_takes_the_mean_direction_away():
    a, b = rows(5, 0), rows(8, 1)
    mean = directions(b).mean(0)
    expected = cosine_similarity(directions(a) - mean, directions(b) - mean)
    torch.testing.assert_close(centred_cosine(a, b), torch.from_numpy(expected))


def test_a_row_that_is_left_out_is_coupled_as_a_new_input_is():
    b = rows(8, 1)
    chosen = torch.tensor([2, 5, 7])
    found = centred_cosine_left_out(b, chosen)
    for row, i in zip(found, chosen, strict=True):
        others = torch.arange(8) != i
        torch.testing.assert_close(row[others], centred_cosine(b[i : i + 1], b[others])[0])


def test_the_coefficient_of_identity_is_concordance_without_a_mean():
    """Zegers and ten Berge 1985: 2 x.y / (x.x + y.y); equal to Lin's coefficient where the rows are centred."""
    a, b = rows(5, 0).double(), rows(8, 1).double()
    identity = cosine(a, b) * scale_agreement(a, b)
    torch.testing.assert_close(identity, 2 * a @ b.T / (a.square().sum(1)[:, None] + b.square().sum(1)))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    torch.testing.assert_close(cosine(a, b) * scale_agreement(a, b), concordance(a, b))


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1.0, 1e30])
def test_tiny_and_huge_gradients_keep_their_direction_and_ratio(scale):
    a, b = rows(5, 0), rows(8, 1)
    torch.testing.assert_close(cosine(scale * a, scale * b), cosine(a, b), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scale_agreement(scale * a, scale * b), scale_agreement(a, b), rtol=1e-4, atol=1e-4)


def test_a_gradient_of_zero_is_coupled_to_nothing():
    a, b = rows(3, 0), rows(4, 1)
    a[1], b[2] = 0, 0
    everyone = torch.arange(4)
    for coupling in (cosine(a, b) * scale_agreement(a, b), centred_cosine(a, b)):
        assert not coupling[1].any()
        assert not coupling[:, 2].any()
        assert coupling.isfinite().all()
    assert not centred_cosine_left_out(b, everyone)[2].any()
    assert not centred_cosine_left_out(b, everyone)[:, 2].any()
