import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from anomech.auditor import Auditor
from anomech.detectors import Mahalanobis
from anomech.errors import DataError, SettingsError
from anomech.explain import mechanisms as module
from anomech.explain.mechanisms import NONE, find_mechanisms, map_mechanisms, mutual_coupling
from anomech.features import Features
from anomech.functional import layout


@pytest.fixture
def three_ways():
    """Gradients of 90, 60 and 30 inputs around three directions in one layer, mere noise in another; shuffled."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(3).repeat_interleave(torch.tensor([90, 60, 30]))[torch.randperm(180, generator=generator)]
    told = torch.eye(3, 40)[truth] + 0.1 * torch.randn(180, 40, generator=generator)
    lengths = torch.logspace(-6, 6, 180)[:, None]
    noise = torch.randn(180, 40, generator=generator)
    return Features({"a": lengths * told, "b": noise}, torch.zeros(180, dtype=torch.int64)), truth


def test_inputs_of_one_mechanism_make_a_cluster(three_ways):
    features, truth = three_ways
    found = find_mechanisms(features)
    inside = found.clusters != NONE
    assert inside.double().mean() > 0.9
    assert adjusted_rand_score(truth[inside], found.clusters[inside]) > 0.98
    assert found.places.shape == (180, 2)


def test_the_largest_cluster_comes_first_and_has_typical_inputs_of_its_own(three_ways):
    features, _ = three_ways
    found = find_mechanisms(features)
    sizes = found.clusters[found.clusters != NONE].bincount()
    assert (sizes.diff() <= 0).all()
    for cluster, typical in enumerate(found.typical):
        assert len(typical) == 3
        assert (found.clusters[list(typical)] == cluster).all()


def test_the_most_typical_input_is_coupled_most_to_its_cluster():
    coupling = torch.tensor([[1.0, 0.9, 0.2, 0], [0.9, 1, 0.8, 0], [0.2, 0.8, 1, 1], [0, 0, 1, 1]])
    assert module._most_typical(coupling, torch.tensor([0, 1, 2]))[0] == 1


def test_the_same_seed_gives_the_same_map(three_ways):
    one, other = (find_mechanisms(three_ways[0], seed=3) for _ in range(2))
    assert torch.equal(one.places, other.places)
    assert torch.equal(one.clusters, other.clusters)


def test_mutual_coupling_is_the_mean_cosine_of_the_layers():
    gradients = {"a": torch.tensor([[2.0, 0], [0, 3], [0, 0]]), "b": torch.tensor([[1.0], [-5], [1]])}
    found = mutual_coupling(Features(gradients, torch.zeros(3, dtype=torch.int64)))
    assert torch.allclose(found, torch.tensor([[1.0, -0.5, 0.5], [-0.5, 1, -0.5], [0.5, -0.5, 0.5]]))


def test_the_flagged_inputs_of_an_audit_are_apart_from_the_others(fashion):
    task, trusted, inputs = fashion
    auditor = Auditor(task).fit(trusted)
    verdicts = auditor.audit(inputs)
    found = map_mechanisms(auditor, inputs, verdicts.flagged)
    assert torch.equal(found.positions, torch.arange(len(inputs)))
    for cluster in range(len(found.typical)):
        share = verdicts.flagged[found.clusters == cluster].double().mean()
        assert share < 0.2 or share > 0.8
    with pytest.raises(SettingsError, match="choose the detector gradient or coupling"):
        map_mechanisms(Auditor(task, Mahalanobis()).fit(trusted), inputs, verdicts.flagged)


def test_flagged_inputs_are_mapped_first(monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    few = torch.arange(30) % 10 == 3
    assert len(module._on_the_map(few)) == 10
    assert set(few.nonzero().flatten().tolist()) <= set(module._on_the_map(few).tolist())
    assert torch.equal(module._on_the_map(torch.ones(30).bool()), torch.linspace(0, 29, 10).long())
    assert torch.equal(module._on_the_map(torch.zeros(5).bool()), torch.arange(5))


def test_too_few_inputs_are_refused(three_ways):
    with pytest.raises(DataError, match="39 inputs make no map of mechanisms; give at least 40"):
        find_mechanisms(three_ways[0][torch.arange(39)])


def test_without_umap_it_says_what_to_install(three_ways, monkeypatch):
    monkeypatch.setattr(layout, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r'pip install "anomech\[umap\]"'):
        find_mechanisms(three_ways[0])
