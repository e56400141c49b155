from dataclasses import replace

import pytest
import torch
from scipy.stats import hmean

from anomech.detectors import (
    Ensemble,
    GradientCoupling,
    GradientSpan,
    Mahalanobis,
    NearestNeighbours,
    QuantumEntropy,
)
from anomech.errors import SettingsError
from anomech.features import Activations, Features, GradientSketch, JointFeatures
from anomech.features.joint import part_of
from anomech.functional.combination import smooth_p_values
from anomech.functional.conformal import p_values

MEMBERS = (Mahalanobis(), NearestNeighbours(features=Activations("output")), Mahalanobis(two_sided=True))


def features(n, seed, *, odd=()):
    """Noise around one point in the layers of two parts; in the odd ones around its opposite."""
    generator = torch.Generator().manual_seed(seed)
    layers = {f"{i}/a": torch.randn(n, 6, generator=generator) + (-5 if i in odd else 5) for i in range(2)}
    return Features(layers, torch.arange(n) % 2)


@pytest.mark.parametrize("n", [20, 60, 300])
def test_the_rate_is_kept(n):
    realised = []
    for seed in range(30):
        fitted = Ensemble(members=MEMBERS).fit(features(n, seed))
        p = p_values(fitted.trusted_scores(), fitted.score(features(200, 1000 + seed)))
        realised.append((p <= 0.05).double().mean())
    nominal = int(0.05 * (n + 1)) / (n + 1)
    assert (0.2 if n == 20 else 0.6) * nominal < torch.stack(realised).mean() < 1.3 * nominal


@pytest.mark.parametrize("odd", [(0,), (1,), (0, 1)])
def test_what_one_member_sees_is_enough(odd):
    fitted = Ensemble(members=MEMBERS).fit(features(200, 0))
    clean, anomalous = fitted.score(features(100, 1)), fitted.score(features(100, 2, odd=odd))
    assert (anomalous[:, None] > clean).double().mean() > 0.98


def test_a_member_that_all_inputs_are_far_out_for_does_not_overrule_one_that_tells_them_apart():
    trusted = features(200, 0)
    members = (NearestNeighbours(features=Activations("output")), Mahalanobis())
    fitted = Ensemble(members=members).fit(trusted)
    clean, anomalous = features(100, 1), features(100, 2)
    for inputs, anomaly in ((clean, 0.0), (anomalous, -8.0)):
        inputs.layers["0/a"] += anomaly
        inputs.layers["1/a"] += 40
    alone = replace(members[0]).fit(part_of(trusted, 0))
    apart = [
        (scorer.score(of(anomalous))[:, None] > scorer.score(of(clean))).double().mean()
        for scorer, of in ((fitted, lambda f: f), (alone, lambda f: part_of(f, 0)))
    ]
    assert 0.95 < apart[1] - 0.03 < apart[0]


def test_the_first_member_counts_as_much_as_the_others_together():
    trusted, inputs = features(200, 0), features(50, 1)
    ensemble = Ensemble(members=MEMBERS).fit(trusted)
    p = []
    for member in MEMBERS:
        part = JointFeatures((Activations(), Activations("output"))).parts.index(member.features)
        fitted = replace(member).fit(part_of(trusted, part))
        p.append(smooth_p_values(fitted.trusted_scores(), fitted.score(part_of(inputs, part))))
    weights = torch.tensor([2.0, 1, 1])[:, None].expand(3, 50)
    expected = hmean(torch.stack(p).numpy(), weights=weights.numpy(), axis=0)
    torch.testing.assert_close(ensemble.score(inputs), -torch.from_numpy(expected).log().float())


def test_equal_features_are_extracted_once(fashion, tmp_path):
    task, trusted, _ = fashion
    joint = Ensemble(members=MEMBERS).features
    assert joint == JointFeatures((Activations(), Activations("output")))
    assert joint.passes_per_input == 2
    before = task.cost.forward_passes
    joint.fit(task, trusted, tmp_path)
    found = joint.extract(task, trusted, tmp_path)
    assert task.cost.forward_passes - before == 2 * len(trusted)
    assert list(found.layers) == ["0/penultimate", "1/output"]


def test_by_default_every_gradient_is_taken_once():
    ensemble = Ensemble()
    assert [type(member) for member in ensemble.members] == [GradientSpan, Mahalanobis, GradientCoupling]
    assert ensemble.features == JointFeatures((GradientSketch(), Activations()))
    assert ensemble.features.passes_per_input == 4


@pytest.mark.parametrize("members", [(), (Mahalanobis(),), (Mahalanobis(), QuantumEntropy())])
def test_what_cannot_be_combined_is_refused(members):
    with pytest.raises(SettingsError, match="at least two members, and none of them is offline"):
        Ensemble(members=members)


def test_equal_parts_cannot_be_joined():
    with pytest.raises(SettingsError, match="give each part once"):
        JointFeatures((Activations(), Activations()))
