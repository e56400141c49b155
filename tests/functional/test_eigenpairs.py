import pytest
import torch

from anomech.errors import SettingsError
from anomech.functional.eigenpairs import largest_eigenpairs


def symmetric(values, seed=0):
    """A matrix with these eigenvalues, and its eigenvectors."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator))
    return (q * values) @ q.T, q


@pytest.mark.parametrize("count", [1, 3, 20])
def test_they_are_those_of_a_full_decomposition(count):
    # A bulk around zero, negative values that are larger than most, and outliers.
    values = torch.cat([torch.linspace(-3, 0.1, 90), torch.linspace(1, 9, 10)])
    matrix, q = symmetric(values)
    found, vectors = largest_eigenpairs(lambda v: matrix @ v, 100, count)
    torch.testing.assert_close(found, values.flip(0)[:count], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(count), rtol=0, atol=1e-4)
    outliers = min(count, 10)
    cosines = (vectors[:, :outliers] * q.flip(1)[:, :outliers]).sum(0).abs()
    assert (cosines > 0.999).all()


def test_the_same_seed_gives_the_same():
    matrix, _ = symmetric(torch.linspace(-1, 5, 40))
    one, other = (largest_eigenpairs(lambda v: matrix @ v, 40, 4, seed=3)[1] for _ in range(2))
    assert one.equal(other)


@pytest.mark.parametrize("count", [0, 5, 6])
def test_as_many_as_there_are_weights_are_refused(count):
    with pytest.raises(SettingsError, match="fewer than there are weights"):
        largest_eigenpairs(lambda v: v, 5, count)


def test_a_matrix_of_zeros_has_no_largest():
    with pytest.raises(SettingsError, match="no sharp directions: all curvature is zero"):
        largest_eigenpairs(torch.zeros_like, 50, 3)
