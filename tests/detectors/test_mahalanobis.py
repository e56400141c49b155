from dataclasses import replace

import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from anomech.detectors import Mahalanobis
from anomech.errors import DataError, SettingsError
from anomech.features import Features
from anomech.functional.conformal import p_values


def test_agrees_with_scipy_on_the_shrunk_covariance():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(60, 5, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0, 0.5, 1.0])
    classes = torch.arange(60) % 2
    inputs = Features({"penultimate": torch.randn(8, 5, generator=generator).double()}, torch.arange(8) % 2)
    means = torch.stack([values[classes == c].mean(0) for c in (0, 1)])
    precision = LedoitWolf(assume_centered=True).fit((values - means[classes]).numpy()).precision_
    precision *= 58 / 60  # Two means were estimated.
    expected = [
        mahalanobis(x.numpy(), means[c].numpy(), precision) ** 2
        for x, c in zip(inputs.only_layer, inputs.predictions, strict=True)
    ]
    scores = Mahalanobis().fit(Features({"penultimate": values}, classes)).score(inputs)
    torch.testing.assert_close(scores, torch.tensor(expected).float(), rtol=1e-5, atol=1e-5)


def test_an_unseen_class_is_measured_from_the_nearest_one():
    values = torch.cat([torch.randn(30, 3), torch.randn(30, 3) + 10])
    detector = Mahalanobis().fit(Features({"penultimate": values}, torch.arange(60) // 30))
    point = torch.full((2, 3), 10.0)
    known, unknown = detector.score(Features({"penultimate": point}, torch.tensor([1, 7])))
    torch.testing.assert_close(known, unknown)


def spread(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double() * torch.arange(1, d + 1)


def test_the_global_kind_agrees_with_scipy_and_the_relative_one_is_the_difference():
    trusted = Features({"penultimate": spread(60, 4, seed=0) + torch.arange(60)[:, None] % 2}, torch.arange(60) % 2)
    inputs = Features({"penultimate": spread(8, 4, seed=1)}, torch.arange(8) % 2)
    own, overall, relative = (
        Mahalanobis(distance=distance).fit(trusted).score(inputs)
        for distance in ("class-conditional", "global", "relative")
    )
    fitted = LedoitWolf().fit(trusted.only_layer.numpy())
    expected = [mahalanobis(x.numpy(), fitted.location_, fitted.precision_ * 59 / 60) ** 2 for x in inputs.only_layer]
    torch.testing.assert_close(overall, torch.tensor(expected).float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(relative, own - overall, rtol=1e-5, atol=1e-5)


def realised_rates(detector, n, d, shares):
    """Mean shares of new inputs with p-values of at most 5 and 10 %, and their standard errors, `[2]` each."""
    generator = torch.Generator().manual_seed(0)
    realised = []
    for _ in range(60):
        means = 2 * torch.randn(len(shares), d, generator=generator)
        classes = shares.multinomial(n + 200, replacement=True, generator=generator)
        drawn = Features({"penultimate": means[classes] + torch.randn(n + 200, d, generator=generator)}, classes)
        fitted = replace(detector).fit(drawn[torch.arange(n)])
        p = p_values(fitted.trusted_scores(), fitted.score(drawn[torch.arange(n, n + 200)]))
        realised.append(torch.stack([(p <= rate).double().mean() for rate in (0.05, 0.1)]))
    return torch.stack(realised).mean(0), torch.stack(realised).std(0) / 60**0.5


@pytest.mark.parametrize(
    "detector",
    [
        Mahalanobis(),
        Mahalanobis(two_sided=True),
        Mahalanobis(distance="global"),
        Mahalanobis(covariance="diagonal"),
        Mahalanobis(covariance="pseudo-inverse"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("n", "d"), [(50, 8), (50, 200), (100, 64)])
def test_p_values_hold_where_classes_have_one_example_or_two(detector, n, d):
    rates, errors = realised_rates(detector, n, d, 1 / torch.arange(1.0, 44.0))
    assert (rates <= torch.tensor([0.05, 0.1]) + 2 * errors).all()
    assert (rates >= torch.tensor([0.02, 0.065])).all()


@pytest.mark.parametrize("distance", ["class-conditional", "global", "relative"])
def test_p_values_hold_where_activations_are_as_many_as_examples(distance):
    rates, errors = realised_rates(Mahalanobis(distance=distance), 100, 102, torch.ones(10))
    assert (rates <= torch.tensor([0.05, 0.1]) + 2 * errors).all()
    assert (rates >= torch.tensor([0.03, 0.07])).all()


def test_two_sided_sees_what_is_pulled_too_close_to_the_mean():
    trusted = Features({"penultimate": spread(200, 6, seed=0)}, torch.arange(200) % 2)
    pulled = Features({"penultimate": spread(40, 6, seed=1) / 50}, torch.arange(40) % 2)
    one_sided, two_sided = (Mahalanobis(two_sided=sides).fit(trusted) for sides in (False, True))
    assert one_sided.score(pulled).mean() < one_sided.trusted_scores().median()
    assert two_sided.score(pulled).mean() > two_sided.trusted_scores().median()
    left_out = one_sided.trusted_scores()
    torch.testing.assert_close(two_sided.trusted_scores(), (left_out - left_out.median()).abs())
    torch.testing.assert_close(two_sided.score(pulled), (one_sided.score(pulled) - left_out.median()).abs())


def test_features_that_do_not_vary_are_refused():
    with pytest.raises(DataError, match="vary too little within their 2 classes"):
        Mahalanobis().fit(Features({"penultimate": torch.ones(20, 3)}, torch.arange(20) % 2))


@pytest.mark.parametrize("covariance", ["pseudo-inverse", "diagonal"])
def test_the_relative_kind_takes_any_covariance(covariance):
    trusted = Features({"penultimate": spread(60, 4, seed=0)}, torch.arange(60) % 2)
    own, overall, relative = (
        Mahalanobis(distance=distance, covariance=covariance).fit(trusted).trusted_scores()
        for distance in ("class-conditional", "global", "relative")
    )
    torch.testing.assert_close(relative, own - overall, rtol=1e-5, atol=1e-5)


def test_an_unknown_kind_is_refused():
    with pytest.raises(SettingsError, match="distance must be one of class-conditional, global, relative; got 'local'"):
        Mahalanobis(distance="local")
    with pytest.raises(SettingsError, match="covariance must be one of shrunk, pseudo-inverse, diagonal; got 'full'"):
        Mahalanobis(covariance="full")
