import pytest
import torch
from factories import by_name

from anomech.diffing.directions import sharp_share
from anomech.errors import SettingsError
from anomech.gradients.sharp import SharpDirections, sharp_directions


@pytest.fixture(scope="module")
def share(curved):
    """The share of a difference in the sharpest directions."""
    task, trusted, _ = curved

    def of(difference, *, count):
        return sharp_share(sharp_directions(task, trusted, count=count), task.model, difference)

    return of


def test_eigenvalues_and_shares_are_the_exact_ones(share, curved):
    task, _, exact = curved
    difference = torch.randn(51, generator=torch.Generator().manual_seed(2))
    found = share(by_name(task, difference), count=5)
    values, vectors = torch.linalg.eigh(exact.double())
    torch.testing.assert_close(torch.tensor(found.eigenvalues), values.flip(0)[:5].float(), rtol=1e-3, atol=1e-5)
    along = (vectors.flip(1)[:, :5].T @ difference.double()).square().cumsum(0) / difference.double().square().sum()
    assert found.shares == pytest.approx(along.tolist(), abs=1e-3)
    assert found.random == pytest.approx([i / 51 for i in range(1, 6)])


def test_a_sharp_and_a_flat_difference_are_told_apart(share, curved):
    task, _, exact = curved
    vectors = torch.linalg.eigh(exact).eigenvectors
    sharp, flat = (share(by_name(task, vectors[:, i]), count=3) for i in (-1, 25))
    assert sharp.shares == pytest.approx((1, 1, 1), abs=1e-3)
    assert flat.shares == pytest.approx((0, 0, 0), abs=1e-3)
    assert sharp.sentence.startswith("100 % of the difference's energy lies in the 3 sharpest directions")


def test_a_parameter_that_did_not_change_may_be_missing(share, curved):
    task, _, _ = curved
    whole = by_name(task, torch.zeros(51)) | {"2.bias": torch.tensor([3.0, 0.0, 1.0])}
    assert share({"2.bias": whole["2.bias"]}, count=2) == share(whole, count=2)


def test_no_difference_has_no_direction(curved):
    sharp = SharpDirections(torch.ones(1), torch.eye(51)[:, :1], (24, 6, 18, 3))
    with pytest.raises(SettingsError, match="no parameter was changed"):
        sharp_share(sharp, curved[0].model, {"0.running_mean": torch.ones(3)})
