from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from anomech.detectors import GradientCoupling, GradientSpan
from anomech.detectors.base import folds
from anomech.errors import DataError, SettingsError
from anomech.features import Features
from anomech.functional.conformal import p_values


def layered(n, seed, scale=1.0):
    """Two classes with directions of their own in one layer; a layer `scale` times as long that is only noise."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % 2
    telling = torch.eye(2, 8)[classes] + 0.1 * torch.randn(n, 8, generator=generator)
    return Features({"telling": telling, "loud": scale * torch.randn(n, 50, generator=generator)}, classes)


def share_found(fitted, odd, clean):
    return (fitted.score(odd)[:, None] > fitted.score(clean)).double().mean()


def test_a_loud_layer_does_not_rule():
    fitted, odd = GradientSpan().fit(layered(100, seed=0, scale=100.0)), layered(50, seed=9, scale=100.0)
    odd.layers["telling"] = odd.layers["telling"].roll(4, dims=1)
    assert share_found(fitted, odd, layered(50, seed=1, scale=100.0)) > 0.95


def test_a_combination_explains_what_no_pair_does():
    """Inputs that mix two trusted mechanisms are new to each of their examples, and to the span of both not."""
    generator = torch.Generator().manual_seed(0)

    def noisy(values):
        return Features({"layer": values + 0.03 * torch.randn(values.shape, generator=generator)}, torch.arange(40) % 2)

    pure, odd = torch.eye(2, 60)[torch.arange(40) % 2], torch.eye(60)[torch.arange(40) % 2 + 4]
    mixed, alien = (pure + pure.flip(0)) / 2**0.5, (pure + odd) / 2**0.5
    trusted, clean, mixed, alien = (noisy(values) for values in (pure, pure, mixed, alien))
    pairwise, jointly = (detector.fit(trusted) for detector in (GradientCoupling(), GradientSpan()))
    assert share_found(pairwise, mixed, clean) > 0.95
    assert share_found(jointly, alien, mixed) > 0.95
    assert share_found(jointly, mixed, clean) < 0.7


def test_a_trusted_score_is_that_of_a_new_input_given_the_others():
    """But for medians, lengths and tails, which one example more or less moves a little."""
    trusted = layered(100, seed=0)
    fitted = GradientSpan().fit(trusted)
    for i in (0, 7, 99):
        alone = replace(fitted).fit(trusted[torch.arange(100) != i])
        torch.testing.assert_close(
            alone.score(trusted[torch.tensor([i])])[0], fitted.trusted_scores()[i], rtol=0.1, atol=0.1
        )


@pytest.mark.parametrize("n", [20, 60])
def test_many_layers_with_outliers_keep_the_rate(n):
    """A trusted score that is measured by units of which it is a part is bounded, as no new input's is."""
    generator = torch.Generator().manual_seed(0)

    def drawn(m):
        classes = torch.randint(3, (m,), generator=generator)
        odd = torch.rand(20, m, 1, generator=generator) < 0.05
        noise = torch.randn(20, m, 10, generator=generator)
        values = torch.where(odd, 3 * noise, torch.eye(3, 10)[classes] + 0.3 * noise)
        return Features({str(i): layer for i, layer in enumerate(values)}, classes)

    realised = []
    for _ in range(40):
        fitted = GradientSpan().fit(drawn(n))
        realised.append((p_values(fitted.trusted_scores(), fitted.score(drawn(100))) <= 0.05).double().mean())
    nominal = int(0.05 * (n + 1)) / (n + 1)
    low, high = (0.4, 1.2) if n == 60 else (0.1, 1.3)
    assert low * nominal < torch.stack(realised).mean() < high * nominal


def test_a_few_layers_that_do_not_explain_are_not_outvoted():
    """An attacker hides in most layers by being explained even better there."""
    generator = torch.Generator().manual_seed(0)

    def drawn(n, hides):
        classes = torch.arange(n) % 3
        noise = torch.randn(20, n, 10, generator=generator)
        layers = torch.eye(3, 10)[classes] + 0.2 * noise
        if hides:
            layers[2:] = torch.eye(3, 10)[classes] + 0.05 * noise[2:]
            layers[:2] = 0.2 * noise[:2]
        return Features({str(i): layer for i, layer in enumerate(layers)}, classes)

    trusted, odd, clean = drawn(100, False), drawn(50, True), drawn(50, False)
    assert share_found(GradientSpan().fit(trusted), odd, clean) > 0.8
    assert share_found(GradientCoupling().fit(trusted), odd, clean) < 0.5


def test_inputs_that_lack_what_all_trusted_ones_share_are_found():
    generator = torch.Generator().manual_seed(0)

    def drawn(n, shared):
        values = torch.randn(n, 30, generator=generator)
        values[:, 0] = shared
        return Features({"a": values, "b": values.flip(1)}, torch.arange(n) % 2)

    assert share_found(GradientSpan().fit(drawn(100, 6.0)), drawn(50, 2.0), drawn(50, 6.0)) > 0.95


def test_gradients_of_unusual_length_are_found():
    trusted, clean = layered(100, seed=0), layered(50, seed=1)
    longer = Features({**clean.layers, "loud": 5 * clean.layers["loud"]}, clean.predictions)
    assert share_found(GradientSpan().fit(trusted), longer, clean) > 0.95


def test_what_is_usual_in_one_class_is_not_in_another():
    """As an attack on a class that trusted examples explain well, which is explained as badly as some other class."""
    generator = torch.Generator().manual_seed(0)

    def drawn(classes, noise):
        return Features(
            {
                str(i): torch.eye(2, 30)[classes] + noise * torch.randn(len(classes), 30, generator=generator)
                for i in (0, 1)
            },
            classes,
        )

    classes = torch.arange(200) % 2
    trusted, clean = (drawn(classes, torch.where(classes == 0, 0.1, 0.3)[:, None]) for _ in range(2))
    odd = drawn(torch.zeros(50, dtype=torch.int64), 0.25)
    fitted = GradientSpan().fit(trusted)
    assert (fitted.score(odd) > fitted.trusted_scores().quantile(0.95)).double().mean() > 0.8
    assert (fitted.score(clean) > fitted.trusted_scores().quantile(0.95)).double().mean() < 0.15


def test_it_says_in_which_layer_an_input_is_unexplained():
    fitted, clean, odd = GradientSpan().fit(layered(100, seed=0)), layered(20, seed=1), layered(20, seed=9)
    odd.layers["telling"] = odd.layers["telling"].roll(4, dims=1)
    shares, usual = fitted.unexplained(odd), fitted.unexplained(clean)
    assert shares.shape == (2, 20)
    assert (shares[0] > usual[0].max()).all()
    assert (shares <= 1).all()


def test_a_dead_layer_says_little():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    expected = GradientSpan().fit(trusted).score(inputs)
    for features in (trusted, inputs):
        features.layers["dead"] = torch.zeros(len(features), 5)
    assert spearmanr(GradientSpan().fit(trusted).score(inputs), expected).statistic > 0.95


def test_gradients_of_zero_here_and_there_leave_every_score_a_number():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    for features in (trusted, inputs):
        features.layers["loud"][torch.arange(len(features)) % 3 == 0] = 0
    fitted = GradientSpan().fit(trusted)
    assert fitted.score(inputs).isfinite().all()
    assert fitted.trusted_scores().isfinite().all()


def test_a_gradient_of_zero_leaves_nothing_to_explain_but_is_short():
    fitted, inputs = GradientSpan().fit(layered(60, seed=0)), layered(20, seed=1)
    inputs.layers["telling"][0] = 0
    assert fitted.unexplained(inputs)[0, 0] == 0
    assert fitted.score(inputs).argmax() == 0


def test_a_layer_that_wakes_up_for_an_input_is_unexplained():
    """As a dormant branch that a trigger switches on."""
    trusted, clean, odd = layered(100, seed=0), layered(200, seed=1), layered(50, seed=9)
    for features in (trusted, clean, odd):
        features.layers["branch"] = torch.zeros(len(features), 30)
    odd.layers["branch"] = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    fitted = GradientSpan().fit(trusted)
    assert (p_values(fitted.trusted_scores(), fitted.score(odd)) <= 0.01).all()
    assert fitted.examine(odd, 1).by_layer[:, 2].min() > 1
    assert (p_values(fitted.trusted_scores(), fitted.score(clean)) <= 0.05).double().mean() < 0.12


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_a_layer_whose_gradient_always_points_the_same_way_says_nothing(noise):
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(30, generator=generator)

    def drawn(n, seed):
        features = layered(n, seed=seed)
        scale = torch.rand(n, 1, generator=generator) + 0.5
        features.layers["constant"] = scale * (direction + noise * torch.randn(n, 30, generator=generator))
        return features

    fitted = GradientSpan().fit(drawn(100, 0))
    assert (p_values(fitted.trusted_scores(), fitted.score(drawn(200, 1))) <= 0.05).double().mean() < 0.12


@pytest.mark.parametrize("n", [20, 50])
def test_more_layers_than_examples_keep_the_rate(n):
    """Small differences between n and n - 1 examples, alike in every layer, must not add up."""
    generator = torch.Generator().manual_seed(0)

    def drawn(m):
        return Features({str(i): torch.randn(m, 20, generator=generator) for i in range(40)}, torch.arange(m) % 2)

    realised = []
    for _ in range(15):
        fitted = GradientSpan().fit(drawn(n))
        realised.append((p_values(fitted.trusted_scores(), fitted.score(drawn(100))) <= 0.1).double().mean())
    assert torch.stack(realised).mean() < 0.13


def test_few_examples_are_scored_as_by_detectors_of_the_other_folds():
    generator = torch.Generator().manual_seed(0)
    layers = {str(i): torch.randn(30, 12, generator=generator) for i in range(20)}
    trusted = Features(layers, torch.arange(30) % 3)
    fitted = GradientSpan().fit(trusted)
    for held_out, others in folds(trusted.predictions):
        alone = GradientSpan().fit(trusted[others]).score(trusted[held_out])
        torch.testing.assert_close(fitted.trusted_scores()[held_out], alone, rtol=1e-3, atol=1e-3)


def test_the_scale_of_all_gradients_does_not_matter():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    expected = GradientSpan().fit(trusted).score(inputs)
    for values in (*trusted.layers.values(), *inputs.layers.values()):
        values *= 1e-30
    torch.testing.assert_close(GradientSpan().fit(trusted).score(inputs), expected, rtol=1e-3, atol=1e-4)


def test_the_order_of_the_layers_does_not_matter():
    fitted, inputs = GradientSpan().fit(layered(60, seed=0)), layered(20, seed=1)
    turned = Features(dict(reversed(inputs.layers.items())), inputs.predictions)
    torch.testing.assert_close(fitted.score(turned), fitted.score(inputs))


def test_too_few_to_explain_one_another_are_refused():
    with pytest.raises(DataError, match="2 trusted examples cannot explain"):
        GradientSpan().fit(layered(2, seed=0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"damping": 0.0},
        {"damping": 1.0},
        {"damping": 1e-12},
        {"damping": float("nan")},
        {"sharpness": 0.0},
        {"reading": "x"},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError):
        GradientSpan(**wrong)


def test_without_classes_an_input_is_measured_by_its_neighbours():
    """A kind that trusted examples explain well hides an input that is explained as badly as those of another kind."""
    generator = torch.Generator().manual_seed(0)

    def drawn(kinds, noise):
        layers = {
            str(i): torch.eye(2, 30)[kinds] + noise[:, None] * torch.randn(len(kinds), 30, generator=generator)
            for i in (0, 1)
        }
        return Features(layers, torch.zeros(len(kinds), dtype=torch.int64))

    kinds = torch.arange(200) % 2
    trusted, clean = (drawn(kinds, torch.where(kinds == 0, 0.05, 0.3)) for _ in range(2))
    odd = drawn(torch.zeros(50, dtype=torch.int64), torch.full((50,), 0.2))
    fitted = GradientSpan().fit(trusted)
    assert (fitted.score(odd) > fitted.trusted_scores().quantile(0.95)).double().mean() > 0.8
    assert (fitted.score(clean) > fitted.trusted_scores().quantile(0.95)).double().mean() < 0.15
