from types import SimpleNamespace

import pytest
import torch

from anomech.auditor import Auditor
from anomech.errors import DataError
from anomech.explain import carried as module
from anomech.explain.carried import carried_clusters
from anomech.explain.mechanisms import Mechanisms

FIRST, SECOND = 0, 1


@pytest.fixture(scope="module")
def scene(auditor, fashion):
    """40 inputs with the trigger, all flagged, as one cluster, and 40 clean ones as another."""
    inputs = fashion[2]
    triggered, clean = inputs.anomalous.nonzero().flatten()[:40], (~inputs.anomalous).nonzero().flatten()[:40]
    chosen = inputs[torch.cat([triggered, clean])]
    clusters = torch.arange(80) // 40
    found = Mechanisms(torch.arange(80), torch.zeros(80, 2).double(), clusters, ((0, 1), (40, 41)))
    return auditor, chosen, clusters == FIRST, found


@pytest.fixture(scope="module")
def found(scene):
    return carried_clusters(*scene)


def test_without_the_directions_of_a_backdoor_its_inputs_are_answered_otherwise_and_not_flagged(found, scene):
    (one,) = found
    assert one.cluster == FIRST
    told = {effect.what: effect for effect in one.directions.effects}
    assert told["attack success"].before == 1
    assert told["attack success"].after < 0.1 < 0.9 < told["attack success"].control
    assert told["trusted answers that stay"].after > 0.8
    assert one.flagged < 0.5


def test_it_is_plain_data_and_clusters_are_counted_from_one(found):
    plain = found[0].plain()
    assert (plain["cluster"], plain["rank"]) == (1, 1)
    assert plain["carriers"] == {}


def test_a_cluster_of_too_few_anomalies_has_none(scene):
    auditor, inputs, flagged, mechanisms = scene
    few = flagged & (torch.arange(80) < 15)
    assert carried_clusters(auditor, inputs, few, mechanisms) == ()


def test_no_more_than_the_largest_clusters_are_looked_at(scene, monkeypatch):
    monkeypatch.setattr(module, "MOST", 0)
    assert carried_clusters(*scene) == ()


def test_a_model_without_classes_has_none(scene):
    _, inputs, flagged, mechanisms = scene
    spoken = SimpleNamespace(task=SimpleNamespace(has_classes=False))
    assert carried_clusters(spoken, inputs, flagged, mechanisms) == ()


def test_what_memory_does_not_hold_is_said(scene, monkeypatch, caplog):
    monkeypatch.setattr("anomech.explain.weight_directions.psutil.virtual_memory", lambda: SimpleNamespace(available=1))
    assert carried_clusters(*scene) == ()
    assert "which weights carry cluster 1 is not told" in caplog.text


def test_a_model_that_can_no_longer_be_audited_is_said(scene, monkeypatch, caplog):
    def refuse(*_):
        raise DataError("the score is NaN.")

    monkeypatch.setattr(Auditor, "fit_audit", refuse)
    (one,) = carried_clusters(*scene)
    assert one.flagged is None
    assert "is not audited: the score is NaN" in caplog.text
