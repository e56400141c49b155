from dataclasses import replace
from typing import get_args

import pytest
import torch

from anomech.detectors import GradientCoupling, coupling
from anomech.detectors.gradient_coupling import Balance
from anomech.errors import DataError, SettingsError
from anomech.features import Features


def layered(n, seed, scale=1.0):
    """Two classes with a direction of their own in a small layer; a layer `scale` times as long that is only noise."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(n) % 2
    telling = torch.eye(2, 8)[classes] + 0.1 * torch.randn(n, 8, generator=generator)
    return Features({"telling": telling, "loud": scale * torch.randn(n, 50, generator=generator)}, classes)


def odd(n, scale):
    inputs = layered(n, seed=9, scale=scale)
    inputs.layers["telling"] = inputs.layers["telling"].roll(4, dims=1)
    return inputs


@pytest.mark.parametrize("balance", get_args(Balance))
def test_one_loud_layer_rules_only_where_layers_are_not_balanced(balance):
    detector = GradientCoupling(balance=balance, measure="cosine", centred=False)
    fitted = detector.fit(layered(100, seed=0, scale=100.0))
    clean, anomalous = fitted.score(layered(50, seed=1, scale=100.0)), fitted.score(odd(50, 100.0))
    found = float((anomalous[:, None] > clean).float().mean())
    assert found < 0.7 if balance == "whole" else found > 0.95


@pytest.mark.parametrize("balance", get_args(Balance))
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("pooling", ["nearest", "nearest-own-class", "class-level"])
def test_a_trusted_reading_is_that_of_a_new_input_given_the_others(balance, centred, pooling):
    trusted = layered(40, seed=0)
    fitted = GradientCoupling(balance=balance, centred=centred, pooling=pooling).fit(trusted)
    for i in (0, 7, 39):
        others = torch.arange(40) != i
        alone = replace(fitted).fit(trusted[others])
        found = alone.score(trusted[torch.tensor([i])])
        torch.testing.assert_close(found[0], fitted.trusted_scores()[i], rtol=1e-4, atol=1e-5)


def test_couplings_can_be_read_layer_by_layer():
    fitted, inputs = GradientCoupling().fit(layered(60, seed=0)), layered(20, seed=1)
    by_layer = fitted.coupling_by_layer(inputs)
    assert list(by_layer) == ["telling", "loud"]
    torch.testing.assert_close(torch.stack(list(by_layer.values())).mean(0), fitted.coupling(inputs))
    assert by_layer["telling"].std() > 3 * by_layer["loud"].std()
    assert list(GradientCoupling(balance="whole").fit(fitted.trusted).coupling_by_layer(inputs)) == ["whole"]


def test_a_dead_layer_says_nothing():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    expected = GradientCoupling().fit(trusted).score(inputs)
    for features in (trusted, inputs):
        features.layers["dead"] = torch.zeros(len(features), 5)
    torch.testing.assert_close(GradientCoupling().fit(trusted).score(inputs), expected * 2 / 3)


def test_gradients_of_zero_here_and_there_leave_every_score_a_number():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    for features in (trusted, inputs):
        features.layers["loud"][torch.arange(len(features)) % 3 == 0] = 0
    for measure in ("cosine", "identity"):
        fitted = GradientCoupling(measure=measure).fit(trusted)
        assert fitted.score(inputs).isfinite().all()
        assert fitted.trusted_scores().isfinite().all()


def test_the_scale_of_all_gradients_does_not_matter():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    expected = GradientCoupling().fit(trusted).score(inputs)
    for values in (*trusted.layers.values(), *inputs.layers.values()):
        values *= 1e-30
    torch.testing.assert_close(GradientCoupling().fit(trusted).score(inputs), expected, rtol=1e-3, atol=1e-4)


def test_too_few_to_couple_are_refused():
    with pytest.raises(DataError, match="2 trusted examples cannot be coupled"):
        GradientCoupling().fit(layered(2, seed=0))


def test_the_order_of_the_layers_does_not_matter():
    trusted, inputs = layered(60, seed=0), layered(20, seed=1)
    turned = Features(dict(reversed(inputs.layers.items())), inputs.predictions)
    fitted = GradientCoupling(balance="whole").fit(trusted)
    torch.testing.assert_close(fitted.score(turned), fitted.score(inputs))


def test_identity_sees_a_difference_in_scale_that_cosine_does_not():
    trusted, inputs = layered(100, seed=0), layered(20, seed=1)
    louder = Features({name: 5 * values for name, values in inputs.layers.items()}, inputs.predictions)
    cosine, identity = (GradientCoupling(measure=m).fit(trusted) for m in ("cosine", "identity"))
    torch.testing.assert_close(cosine.score(louder), cosine.score(inputs))
    assert (identity.score(louder) > identity.score(inputs)).all()


def test_scores_do_not_depend_on_how_many_pairs_fit_in_memory(monkeypatch):
    trusted, inputs = layered(100, seed=0), layered(30, seed=1)
    fitted = GradientCoupling().fit(trusted)
    expected = fitted.score(inputs), fitted.trusted_scores(), *fitted.vouchers(inputs, 3)
    monkeypatch.setattr(coupling, "PAIRS", 350)
    fitted = GradientCoupling().fit(trusted)
    found = fitted.score(inputs), fitted.trusted_scores(), *fitted.vouchers(inputs, 3)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("wrong", [{"measure": "pearson"}, {"balance": "x"}, {"pooling": "mean"}, {"k": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError):
        GradientCoupling(**wrong)
