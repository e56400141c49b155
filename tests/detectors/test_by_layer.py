import pytest
import torch

from anomech.detectors import ByLayer, Mahalanobis, QuantumEntropy
from anomech.errors import SettingsError
from anomech.features import Features
from anomech.functional.combination import harmonic_mean_p, smooth_p_values
from anomech.functional.tails import tail_units


def layered(n, seed, *, odd=()):
    generator = torch.Generator().manual_seed(seed)
    layers = {name: torch.randn(n, 6, generator=generator) + 5.0 * (name in odd) for name in "abc"}
    return Features(layers, torch.zeros(n, dtype=torch.int64))


def test_the_score_is_the_mean_over_the_layers_in_units_of_their_tails():
    trusted, inputs = layered(80, 0), layered(10, 1)
    expected = []
    for name in "abc":
        one = Mahalanobis().fit(Features({name: trusted.layers[name]}, trusted.predictions))
        centre, unit = tail_units(one.trusted_scores()[None])
        scores = one.score(Features({name: inputs.layers[name]}, inputs.predictions))
        expected.append(((scores - centre) / unit)[0])
    fitted = ByLayer().fit(trusted)
    torch.testing.assert_close(fitted.score(inputs), torch.stack(expected).mean(0))
    torch.testing.assert_close(fitted.examine(inputs, 2).by_layer.T, torch.stack(expected))
    largest = ByLayer(aggregate="max").fit(trusted).score(inputs)
    torch.testing.assert_close(largest, torch.stack(expected).amax(0))


def test_combined_is_the_harmonic_mean_of_the_p_values_of_the_layers():
    trusted, inputs = layered(80, 0), layered(10, 1)
    p = []
    for name in "abc":
        one = Mahalanobis().fit(Features({name: trusted.layers[name]}, trusted.predictions))
        scores = one.score(Features({name: inputs.layers[name]}, inputs.predictions))
        p.append(smooth_p_values(one.trusted_scores(), scores))
    fitted = ByLayer(aggregate="combined").fit(trusted)
    torch.testing.assert_close(fitted.score(inputs), -harmonic_mean_p(torch.stack(p)).log().float())
    torch.testing.assert_close(fitted.examine(inputs, 2).by_layer, ByLayer().fit(trusted).examine(inputs, 2).by_layer)


@pytest.mark.parametrize("aggregate", ["max", "combined"])
def test_these_see_what_a_single_layer_does(aggregate):
    trusted, clean, odd = layered(200, 0), layered(100, 1), layered(100, 2, odd="b")
    fitted = ByLayer(aggregate=aggregate).fit(trusted)
    assert (fitted.score(odd)[:, None] > fitted.score(clean)).double().mean() > 0.95
    assert fitted.layers == ("a", "b", "c")
    assert (fitted.examine(odd, 1).by_layer.argmax(dim=1) == 1).double().mean() > 0.95


def test_the_aggregate_is_checked():
    with pytest.raises(SettingsError, match='"mean", "max" or "combined"'):
        ByLayer(aggregate="sum")


def test_it_is_offline_as_its_member_is():
    assert ByLayer(member=QuantumEntropy()).offline
    assert not ByLayer().offline
