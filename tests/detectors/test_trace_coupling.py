import pytest
import torch

from anomech.detectors import TraceCoupling
from anomech.errors import SettingsError
from anomech.features import Features


@pytest.mark.parametrize("wrong", [{"measure": "cosine"}, {"pooling": "median"}, {"k": 0}])
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(SettingsError):
        TraceCoupling(**wrong)


def test_leaving_out_equals_fitting_without():
    generator = torch.Generator().manual_seed(0)
    trusted = Features({"loss": torch.randn(36, 50, generator=generator)}, torch.arange(36) % 3)
    for pooling in ("mean", "class-level", "own-class", "nearest", "nearest-own-class"):
        scores = TraceCoupling(pooling=pooling).fit(trusted).trusted_scores()
        for i in (0, 7, 35):
            others = torch.arange(36) != i
            alone = TraceCoupling(pooling=pooling).fit(trusted[others]).score(trusted[torch.tensor([i])])
            torch.testing.assert_close(scores[i : i + 1], alone)


def test_a_prediction_that_no_trusted_example_has_is_most_anomalous_by_its_own_class():
    trusted = Features({"loss": torch.randn(20, 10)}, torch.zeros(20).long())
    unseen = Features({"loss": torch.randn(1, 10)}, torch.tensor([5]))
    assert TraceCoupling(pooling="own-class").fit(trusted).score(unseen).tolist() == [1.0]


def test_rare_classes_among_the_trusted_do_not_hide_anomalies():
    generator = torch.Generator().manual_seed(0)
    mechanism = torch.randn(1, 100, generator=generator)
    # 150 examples of one class, and 50 classes of which only one example each is trusted.
    classes = torch.cat([torch.zeros(150), torch.arange(1, 51)]).long()
    trusted = Features({"loss": mechanism + 0.5 * torch.randn(200, 100, generator=generator)}, classes)
    odd = Features({"loss": torch.randn(40, 100, generator=generator)}, torch.zeros(40).long())
    fitted = TraceCoupling().fit(trusted)
    assert (fitted.score(odd) > fitted.trusted_scores().quantile(0.99)).float().mean() > 0.9
