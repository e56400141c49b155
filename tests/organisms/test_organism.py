import pytest
import torch
from torch import nn

from anomech.errors import DataError
from anomech.examples import Examples
from anomech.organisms.organism import Organism, halve
from anomech.organisms.poisoning import Poisoning


@pytest.fixture
def organism():
    images = Examples(x=torch.rand(200, 1, 8, 8), y=torch.arange(200) % 5)
    return Organism(name="made-up", model=nn.Identity(), images=images, attack=Poisoning(target=3).attack)


def test_a_split_uses_no_image_twice_and_says_the_truth(organism):
    trusted, inputs = organism.split(trusted=50, clean=40, attacked=60, seed=0)
    names = [name.removesuffix("+trigger") for name in (*trusted.ids, *inputs.ids)]
    assert len(set(names)) == len(names) == 150
    assert trusted.y.bincount().tolist() == [10] * 5
    assert trusted.anomalous is None
    assert inputs.anomalous.tolist() == [False] * 40 + [True] * 60
    assert inputs.target.tolist() == [-1] * 40 + [3] * 60
    assert inputs.y[:40].bincount().tolist() == [8] * 5
    assert inputs.y[40:].bincount().tolist() == [15, 15, 15, 0, 15]
    assert torch.equal(organism.images[torch.tensor([int(trusted.ids[0])])].x, trusted.x[:1])


def test_the_seed_decides_the_split(organism):
    first, again, other = (organism.split(trusted=50, clean=40, attacked=60, seed=s)[0].ids for s in (0, 0, 1))
    assert first == again != other


def test_every_image_may_be_used(organism):
    trusted, inputs = organism.split(trusted=50, clean=50, attacked=80, seed=0)
    assert (len(trusted), len(inputs)) == (50, 130)


def test_unequal_classes_keep_their_shares_and_the_numbers_are_exact():
    y = torch.tensor([0] * 70 + [1] * 23 + [2] * 7)
    images = Examples(x=torch.rand(100, 1, 8, 8), y=y)
    organism = Organism(name="made-up", model=nn.Identity(), images=images, attack=Poisoning(target=0).attack)
    trusted, inputs = organism.split(trusted=10, clean=33, attacked=5, seed=0)
    assert (len(trusted), int((~inputs.anomalous).sum()), int(inputs.anomalous.sum())) == (10, 33, 5)
    assert (trusted.y.bincount(minlength=3) - torch.tensor([7, 2.3, 0.7])).abs().max() < 1


@pytest.mark.parametrize(
    ("trusted", "clean", "attacked"), [(201, 1, 1), (100, 101, 1), (50, 50, 81), (0, 50, 50), (50, 0, 50)]
)
def test_a_split_that_the_images_do_not_allow_is_refused(organism, trusted, clean, attacked):
    with pytest.raises(DataError, match=r"needs \d+ images where \d+ are left"):
        organism.split(trusted=trusted, clean=clean, attacked=attacked, seed=0)


def test_the_halves_share_no_image_and_miss_none():
    examples = Examples(x=torch.rand(7, 1, 2, 2), y=torch.arange(7))
    assert halve(examples, "report").ids == ("0", "2", "4", "6")
    assert halve(examples, "development").ids == ("1", "3", "5")
