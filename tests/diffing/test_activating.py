import pytest
import torch
from planted import paired

from anomech.diffing.activating import active_features
from anomech.diffing.baselines import Coordinates
from anomech.errors import SettingsError


@pytest.fixture
def pairs():
    """Twenty texts of ten tokens; the third coordinate moves most, in texts 4 and 7, the first a little in all."""
    base = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    added = torch.zeros(200, 5)
    added[:, 0] = 0.1 * torch.arange(200) / 200
    added[45, 2], added[78, 2], added[79, 2] = 5, 3, 4
    made = paired(base, base + added)
    return [made[:130], made[130:]]


class Moved(Coordinates):
    """What was added to each coordinate, where it is positive."""

    def features(self, pairs):
        return pairs.difference.relu()


def test_features_come_by_their_energy_with_the_texts_that_they_are_largest_on(pairs):
    first, second = active_features(Moved().fit(pairs), pairs, 20, features=2, examples=3)
    assert (first.feature, second.feature) == (2, 0)
    assert first.energy > 0.95 > 0.05 > second.energy > 0
    assert first.active == pytest.approx(2 / 20)
    assert [one.text for one in first.texts] == [4, 7]
    assert first.texts[0].values[5] == pytest.approx(5)
    assert sorted(first.texts[1].values) == list(range(10))
    assert [position for position, value in first.texts[1].values.items() if value > 1] == [8, 9]
    assert [one.text for one in second.texts] == [19, 18, 17]


def test_features_that_are_never_active_are_left_out(pairs):
    assert len(active_features(Moved().fit(pairs), pairs, 20, features=5)) == 2


def test_asking_for_nothing_is_refused(pairs):
    with pytest.raises(SettingsError, match="at least 1, got 0 and 5"):
        active_features(Moved().fit(pairs), pairs, 20, features=0)
