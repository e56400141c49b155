import pytest
import torch

from anomech.detectors import Coupling
from anomech.errors import SettingsError
from anomech.features import Features


@pytest.mark.parametrize("wrong", [{"measure": "cosine"}, {"pooling": "median"}, {"k": 0}])
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(SettingsError):
        Coupling(**wrong)


def test_leaving_out_equals_fitting_without():
    generator = torch.Generator().manual_seed(0)
    trusted = Features({"loss": torch.randn(30, 50, generator=generator)}, torch.arange(30) % 3)
    for pooling in ("mean", "class-level", "own-class", "nearest", "nearest-own-class"):
        scores = Coupling(pooling=pooling).fit(trusted).trusted_scores()
        for i in (0, 7, 29):
            others = torch.arange(30) != i
            alone = Coupling(pooling=pooling).fit(trusted[others]).score(trusted[torch.tensor([i])])
            torch.testing.assert_close(scores[i : i + 1], alone)


def test_a_prediction_that_no_trusted_example_has_is_most_anomalous():
    trusted = Features({"loss": torch.randn(20, 10)}, torch.zeros(20).long())
    scores = Coupling().fit(trusted).score(Features({"loss": torch.randn(1, 10)}, torch.tensor([5])))
    assert scores.tolist() == [1.0]
