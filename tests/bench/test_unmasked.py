from functools import partial

import pytest
import torch
from torch import nn

from anomech.bench.unmasked import Ranked, attribute, rightly_classified
from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.functional.unmasking import rank_pixels
from anomech.organisms.models import MLP
from anomech.organisms.training import Recipe

LEARN = {
    "build": partial(MLP, pixels=16, classes=2, width=16),
    "recipe": Recipe(epochs=5, batch_size=50, learning_rate=0.05),
}


@pytest.fixture
def images():
    """Images whose first pixel alone shows the class."""
    y = torch.arange(400) % 2
    x = torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(0)) / 2
    x[:, 0, 0, 0] = y.float()
    return Examples(x=x, y=y)


def ranked(images, attribution):
    return Ranked(images, rank_pixels(attribution, seed=0))


def pointing(images, pixel):
    return ranked(images, torch.zeros(len(images), 4, 4).index_fill(2, torch.tensor([pixel]), 1.0))


def test_an_attribution_is_asked_about_the_classes_that_the_model_gives():
    asked = []

    def magnitude(x, y):
        asked.append(y)
        return x.sum(1)

    x = torch.eye(4).view(4, 1, 2, 2)
    found = attribute(magnitude, nn.Flatten(), x, batch_size=3)
    assert torch.equal(found, x[:, 0])
    assert [y.tolist() for y in asked] == [[0, 1, 2], [3]]


def test_an_attribution_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"\[4, 1, 2, 2\] must have one value a pixel, shape \[4, 2, 2\]; got \[4, 4\]"):
        attribute(lambda x, y: x.flatten(1), nn.Flatten(), torch.rand(4, 1, 2, 2))


def test_pixels_that_tell_classes_apart_predict_and_others_do_not(images):
    images = pointing(images, 0)
    shares = {
        keep: rightly_classified(images, images, share=0.25, keep=keep, **LEARN).float().mean()
        for keep in ("top", "bottom")
    }
    assert shares["top"] == 1
    assert shares["bottom"] < 0.65


def test_the_same_seed_gives_the_same_network_and_leaves_the_callers_random_numbers_alone(images):
    images, runs = ranked(images, torch.rand(400, 4, 4)), []
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for _ in range(2):
        runs.append(rightly_classified(images, images, share=0.5, keep="bottom", **LEARN))
        assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(*runs)


def test_data_and_shares_that_make_no_sense_are_refused(images):
    one_class, unlabelled = images[images.y == 0], Examples(x=images.x)
    for training, test in ((one_class, images), (unlabelled, images), (images, unlabelled)):
        with pytest.raises(DataError, match="training images have one class or no labels"):
            rightly_classified(pointing(training, 0), pointing(test, 0), share=0.5, keep="top", **LEARN)
    with pytest.raises(SettingsError, match="at most 1; got 2"):
        rightly_classified(pointing(images, 0), pointing(images, 0), share=2, keep="top", **LEARN)
