import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from anomech.detectors import Mahalanobis, PCAMahalanobis
from anomech.errors import DataError, SettingsError
from anomech.features import Features
from anomech.functional.conformal import p_values


def features(n, d=20, *, seed, classes=1):
    """Values that vary most in the first of them."""
    predictions = torch.arange(n) % classes
    noise = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return Features({"penultimate": noise * 10 / torch.arange(1, d + 1) + predictions[:, None]}, predictions)


def test_agrees_with_sklearn():
    trusted, inputs = features(80, seed=0), features(10, seed=1)
    pca = PCA(5).fit(trusted.only_layer.double().numpy())
    own, new = (pca.transform(f.only_layer.double().numpy()) for f in (trusted, inputs))
    expected = torch.from_numpy(LedoitWolf().fit(own).mahalanobis(new)) * 79 / 80
    scores = PCAMahalanobis(components=5).fit(trusted).score(inputs)
    torch.testing.assert_close(scores, expected.float(), rtol=1e-5, atol=1e-5)


def test_all_components_are_no_projection():
    trusted, inputs = features(80, seed=0, classes=3), features(12, seed=1, classes=4)
    expected = Mahalanobis().fit(trusted).score(inputs)
    torch.testing.assert_close(PCAMahalanobis(components=100).fit(trusted).score(inputs), expected, rtol=1e-5, atol=0)


def test_what_trusted_examples_hardly_vary_in_does_not_count():
    trusted, inputs = features(200, seed=0), features(50, seed=1)
    detector = PCAMahalanobis(components=5).fit(trusted)
    before = detector.score(inputs).mean()
    inputs.only_layer[:, -1] += 5
    assert detector.score(inputs).mean() < 2 * before
    inputs.only_layer[:, 0] += 50
    assert detector.score(inputs).mean() > 4 * before


@pytest.mark.parametrize("d", [20, 300])
def test_p_values_hold(d):
    shares = []
    for seed in range(20):
        detector = PCAMahalanobis(components=10).fit(features(100, d, seed=2 * seed, classes=5))
        scores = detector.score(features(400, d, seed=2 * seed + 1, classes=5))
        shares.append((p_values(detector.trusted_scores(), scores) <= 0.1).double().mean())
    assert 0.07 < torch.stack(shares).mean() < 0.12


def test_constant_features_are_refused():
    with pytest.raises(DataError, match="vary too little"):
        PCAMahalanobis().fit(Features({"penultimate": torch.ones(20, 3)}, torch.arange(20) % 2))


def test_no_components_are_refused():
    with pytest.raises(SettingsError, match="components must be at least 1, got 0"):
        PCAMahalanobis(components=0)
