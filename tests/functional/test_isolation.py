import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from anomech.functional import isolation as module
from anomech.functional.isolation import auroc_by_feature, backdoor_isolation, isolation_ceiling


def test_by_hand():
    # Of 41 texts two are above the 95th percentile, which is the third largest value.
    values = torch.zeros(41, 3)
    triggered, benign = torch.arange(41) < 4, torch.arange(41) >= 21
    values[0, 0], values[1, 0] = 2, 1
    values[0, 1], values[40, 1] = 2, 1
    values[0, 2], values[10, 2] = 2, 1
    found = backdoor_isolation(values, triggered, benign)
    one_hit = 2 * 0.5 * 0.25 / (0.5 + 0.25)
    expected = [2 * 1.0 * 0.5 / (1.0 + 0.5), one_hit * (1 - 1 / 20), one_hit]
    assert found.scores.tolist() == pytest.approx(expected)
    assert found.precision.tolist() == [1.0, 0.5, 0.5]
    assert found.false_positives.tolist() == pytest.approx([0.0, 1 / 20, 0.0])
    assert found.ceiling == pytest.approx(2 * 2 / (2 + 4))


def test_the_published_score_is_the_ceiling_of_its_own_sizes():
    assert isolation_ceiling(2500, 500) == pytest.approx(0.4)
    triggered = torch.arange(2500) < 500
    perfect = torch.where(triggered, 1.0, 0.0) + torch.rand(2500, generator=torch.Generator().manual_seed(0)) / 2
    found = backdoor_isolation(perfect[:, None], triggered, torch.arange(2500) >= 1500)
    assert float(found.scores) == pytest.approx(0.4)


def test_random_features_reach_it_too():
    # A shift of the mean by 40 sigma along one direction of 960.
    generator = torch.Generator().manual_seed(0)
    triggered = torch.arange(500) < 100
    values = torch.randn(500, 960, generator=generator)
    values[triggered, 0] += 40
    features = (values @ torch.randn(960, 500, generator=generator)).relu()
    found = backdoor_isolation(features, triggered, ~triggered)
    assert float(found.scores.max()) > 0.97 * found.ceiling


@pytest.mark.parametrize("texts", [21, 41, 100, 101, 2001, 2500])
def test_the_ceiling_counts_what_is_above_the_percentile(texts):
    values = np.arange(texts, dtype=float)
    active = int((values > np.quantile(values, 0.95)).sum())
    for triggered in (1, active, 3 * active):
        hits = min(active, triggered)
        assert isolation_ceiling(texts, triggered) == pytest.approx(2 * hits / (hits + triggered))


def test_a_feature_that_is_never_active_isolates_nothing():
    triggered = torch.arange(30) < 5
    found = backdoor_isolation(torch.zeros(30, 1), triggered, ~triggered)
    assert (float(found.scores), float(found.precision), float(found.false_positives)) == (0.0, 0.0, 0.0)


def test_auroc_is_that_of_every_feature(monkeypatch):
    monkeypatch.setattr(module, "COLUMNS", 3)
    generator = torch.Generator().manual_seed(0)
    features, anomalous = torch.randint(9, (50, 7), generator=generator).float(), torch.arange(50) < 13
    expected = [roc_auc_score(anomalous, column) for column in features.T]
    assert auroc_by_feature(features, anomalous).tolist() == pytest.approx(expected)
