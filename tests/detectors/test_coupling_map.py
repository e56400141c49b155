import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from anomech.detectors import CouplingMap, GradientCoupling, TraceCoupling, coupling_map
from anomech.errors import DataError, SettingsError
from anomech.features import Features
from anomech.functional.conformal import p_values
from anomech.functional.couplings import pearson


def features(n, *, seed, shift=0.0, classes=4):
    """Features around a direction of each class; those with a shift share another direction."""
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.arange(n) % classes
    values = 3 * torch.eye(classes, 16)[predictions] + torch.randn(n, 16, generator=generator)
    values[:, -1] += shift
    return Features({"layer": values}, predictions)


@pytest.mark.parametrize("couplings", [GradientCoupling(), TraceCoupling()], ids=["gradients", "traces"])
def test_anomalies_lie_apart_and_clean_inputs_keep_the_rate_beside_them(couplings):
    clean, odd = [], []
    for seed in (0, 10, 20):
        detector = CouplingMap(couplings=couplings).fit(features(150, seed=seed))
        scores = detector.score(features(200, seed=seed + 1).followed_by(features(60, seed=seed + 2, shift=8.0)))
        p = p_values(detector.trusted_scores(), scores)
        clean.append(p[:200])
        odd.append(p[200:])
    assert (torch.cat(odd) <= 0.05).double().mean() > 0.9
    assert (torch.cat(clean) <= 0.1).double().mean() == pytest.approx(0.1, abs=0.05)


def test_p_values_are_ranks_among_the_distances_of_trusted_examples_to_their_nearest_others(monkeypatch):
    def place(profiles, seed=0):
        return torch.stack([profiles.sum(1), profiles.abs().sum(1)], dim=1).double().numpy()

    monkeypatch.setattr(coupling_map, "_map", place)
    trusted, inputs = features(60, seed=1), features(20, seed=2, shift=1.0)
    detector = CouplingMap(couplings=TraceCoupling(measure="pearson", k=3)).fit(trusted)
    to_trusted = pearson(trusted.layers["layer"], trusted.layers["layer"])
    others = to_trusted.clone().fill_diagonal_(-1)
    itself = torch.eye(60, dtype=torch.bool)
    mine = place(torch.where(itself, others.amax(1, keepdim=True), to_trusted))
    theirs = place(pearson(inputs.layers["layer"], trusted.layers["layer"]))
    own = np.sort(cdist(mine, mine))[:, 1:4].mean(1)
    distances = np.sort(cdist(theirs, mine))[:, :3].mean(1)
    torch.testing.assert_close(detector.trusted_scores(), torch.from_numpy(own).float())
    expected = (1 + (own >= distances[:, None]).sum(1)) / 61
    assert p_values(detector.trusted_scores(), detector.score(inputs)).tolist() == pytest.approx(expected.tolist())
    assert len(set(expected)) > 5


def test_scores_depend_neither_on_the_order_of_the_inputs_nor_on_that_of_the_layers():
    def two_layers(n, seed, names):
        parts = {"a": features(n, seed=seed), "b": features(n, seed=seed + 1)}
        return Features({name: parts[name].layers["layer"] for name in names}, parts["a"].predictions)

    expected = CouplingMap().fit(two_layers(60, 1, "ab")).score(two_layers(30, 5, "ab"))
    shuffled = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    found = CouplingMap().fit(two_layers(60, 1, "ba")).score(two_layers(30, 5, "ba")[shuffled])
    assert torch.equal(found, expected[shuffled])


def test_another_seed_gives_another_map():
    scores = [CouplingMap(seed=seed).fit(features(60, seed=1)).score(features(20, seed=2)) for seed in (0, 1)]
    assert not torch.equal(*scores)


def test_a_gradient_of_zero_is_no_nan():
    inputs = features(20, seed=2)
    inputs.layers["layer"][:3] = 0
    assert CouplingMap().fit(features(60, seed=1)).score(inputs).isfinite().all()


def test_the_smallest_trusted_set_has_a_map_and_a_smaller_one_has_none():
    assert CouplingMap().fit(features(10, seed=1)).score(features(1, seed=2)).isfinite().all()
    with pytest.raises(DataError, match="9 trusted examples make no map; give at least 10"):
        CouplingMap().fit(features(9, seed=1))


def test_without_umap_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("anomech.functional.layout.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r'umap-learn; pip install "anomech\[umap\]"'):
        CouplingMap()


def test_without_umap_everything_else_starts():
    program = "import sys; sys.modules['umap'] = None; import anomech.cli.main"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
