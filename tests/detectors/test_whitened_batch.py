import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from anomech.detectors import LikelihoodRatio, QuantumEntropy, TwoGaussians
from anomech.detectors.base import folds
from anomech.errors import DataError
from anomech.features import Features
from anomech.functional.conformal import p_values
from anomech.functional.gaussians import fit_gaussians


def features(n, d=6, seed=0, classes=3):
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.arange(n) % classes
    values = torch.randn(n, d, generator=generator) * torch.arange(1, d + 1) + 5 * predictions[:, None]
    return Features({"penultimate": values}, predictions)


def attacked(n, d=6, *, seed, strength=2.0):
    found = features(n, d, seed=seed)
    found.only_layer[:, 1] += strength * 2
    return found


def entropies(x):
    excess = x.T @ x / len(x) - np.eye(x.shape[1])
    weights = expm(4 * excess / np.linalg.norm(excess, ord=2))
    return np.einsum("ni,ij,nj->n", x, weights / np.trace(weights), x)


def ratios(x):
    (n, d), mean = x.shape, x.mean(0)
    covariance = ((x - mean).T @ (x - mean) + d * np.eye(d)) / (n + d)
    return multivariate_normal(mean, covariance).logpdf(x) - multivariate_normal(np.zeros(d)).logpdf(x)


def log_odds(x):
    """By the mixture that a hundred rounds of expectation maximisation end with."""
    (n, d), weights = x.shape, np.full(len(x), 0.5)
    for _ in range(100):
        total = weights.sum()
        mean = weights @ x / total
        covariance = ((x - mean).T * weights @ (x - mean) + d * np.eye(d)) / (total + d)
        found = multivariate_normal(mean, covariance).logpdf(x) - multivariate_normal(np.zeros(d)).logpdf(x)
        found += np.log((total + 1) / (n - total + 1))
        weights = 1 / (1 + np.exp(-found))
    return found


AMONG = [(QuantumEntropy(), entropies), (LikelihoodRatio(), ratios), (TwoGaussians(), log_odds)]

every_detector = pytest.mark.parametrize("detector", [detector for detector, _ in AMONG], ids=str)


@pytest.mark.parametrize(("detector", "among"), AMONG, ids=str)
def test_it_exceeds_the_trusted_examples_of_its_batch_and_as_many_trusted_scores(detector, among):
    trusted, inputs = features(60), attacked(20, seed=1, strength=0.5)
    alone, exceeded = np.empty(60), np.zeros(20, dtype=int)
    for held_out, others in folds(trusted.predictions, 5):
        fitted = fit_gaussians(trusted.only_layer[others], trusted.predictions[others])
        own, new = (fitted.residuals(f.only_layer, f.predictions).numpy() for f in (trusted[held_out], inputs))
        alone[held_out] = among(own)
        batch = among(np.concatenate([own, new]))
        exceeded += (batch[12:, None] > batch[:12]).sum(1)
    detector.fit(trusted)
    torch.testing.assert_close(detector.trusted_scores(), torch.from_numpy(alone).float(), rtol=1e-5, atol=1e-5)
    p = p_values(detector.trusted_scores(), detector.score(inputs))
    assert p.tolist() == pytest.approx(((61 - exceeded) / 61).tolist())
    assert len(np.unique(exceeded)) > 5


@every_detector
def test_scores_beyond_all_trusted_examples_still_differ(detector):
    trusted, near, far = features(60), attacked(20, seed=1, strength=20), attacked(20, seed=1, strength=40)
    scores = detector.fit(trusted).score(near.followed_by(far))
    assert scores[:20].min() > detector.trusted_scores().max()
    assert scores[20:].min() > scores[:20].max()


@every_detector
def test_many_alike_give_each_other_away(detector):
    trusted, odd = features(200), attacked(60, seed=1)
    detector.fit(trusted)
    assert detector.offline
    among_others = detector.score(odd).median()
    assert among_others > torch.cat([detector.score(odd[torch.tensor([i])]) for i in range(60)]).median()


@every_detector
@pytest.mark.parametrize("d", [6, 150])
@pytest.mark.parametrize("strength", [0.0, 2.0, 20.0])
def test_clean_inputs_keep_the_false_positive_rate_whatever_else_is_in_the_batch(detector, d, strength):
    shares = []
    for seed in range(5):
        detector.fit(features(200, d, seed=3 * seed))
        odd = attacked(200, d, seed=3 * seed + 2, strength=strength)
        scores = detector.score(features(600, d, seed=3 * seed + 1).followed_by(odd))
        shares.append((p_values(detector.trusted_scores(), scores[:600]) <= 0.05).double().mean().item())
    # With as many activations as trusted examples the fifths disagree, which makes p-values too large.
    assert (0.02 if d == 6 else 0.005) < np.mean(shares) < 0.07


@every_detector
def test_fewer_examples_than_activations_of_a_single_class_give_finite_scores(detector):
    scores = detector.fit(features(12, 40, classes=1)).score(features(1, 40, seed=1, classes=1))
    assert scores.isfinite().all()
    assert detector.trusted_scores().isfinite().all()


@every_detector
def test_constant_features_are_refused(detector):
    with pytest.raises(DataError, match="vary too little"):
        detector.fit(Features({"penultimate": torch.ones(20, 3)}, torch.arange(20) % 2))
