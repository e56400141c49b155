from dataclasses import replace

import pytest
import torch

from anomech.auditor import Auditor
from anomech.bench import randomised as module
from anomech.bench.randomised import of_random_models, of_relabelled_model, randomised, resemblance
from anomech.errors import DataError
from anomech.explain.controls import RandomPlaces
from anomech.explain.gradients import Gradient
from anomech.explain.quantities import Anomaly, Output


@pytest.fixture(scope="module")
def task(fashion):
    return fashion[0]


def changed(a, b):
    pairs = zip(a.named_parameters(), b.parameters(), strict=True)
    return [name for (name, p), q in pairs if not torch.equal(p, q)]


def test_the_last_layer_or_all_are_drawn_anew_and_the_model_stays(task):
    before = task.model_sha256()
    assert changed(randomised(task.model, last=True, seed=0), task.model) == ["classifier.weight", "classifier.bias"]
    assert len(changed(randomised(task.model, last=False, seed=0), task.model)) == 5
    assert task.model_sha256() == before


def test_what_ignores_the_model_resembles_itself_and_a_gradient_does_not(task, fashion):
    x = fashion[2].x[100:104]
    output = of_random_models(Auditor(task).fit(fashion[1]))["last_layer"]["output"]
    for attribution, low, high in ((RandomPlaces(), 0.999, 1.001), (Gradient(), -0.5, 0.8)):
        maps = attribution.attribute(Output(task), x)
        assert low < resemblance(attribution, output, x, maps) < high


def test_where_there_is_no_number_there_is_no_resemblance():
    assert resemblance(Gradient(), None, torch.rand(1, 1, 28, 28), torch.rand(1, 28, 28)) is None


def test_a_network_that_learnt_random_labels_answers_by_them_and_gradients_change(task, fashion, tmp_path):
    auditor = Auditor(task).fit(fashion[1])
    found = of_relabelled_model(auditor, cache=tmp_path)
    labels = found["output"].task.predict(auditor.reference)
    assert (labels == auditor.reference.y).double().mean() < 0.3
    assert labels.bincount().equal(auditor.reference.y.bincount())
    x = fashion[2].x[100:104]
    for quantity in (Output(task), Anomaly(auditor)):
        maps = Gradient().attribute(quantity, x)
        assert abs(resemblance(Gradient(), found[quantity.name], x, maps)) < 0.5


def test_labels_that_were_not_learnt_are_no_control(task, fashion, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEMORISING", replace(module.MEMORISING, epochs=1))
    with pytest.raises(DataError, match="of the random labels"):
        of_relabelled_model(Auditor(task).fit(fashion[1]), cache=tmp_path)


def test_a_map_of_one_value_resembles_nothing(task):
    x = torch.rand(2, 1, 28, 28)
    assert resemblance(Gradient(), Output(task), x, torch.zeros(2, 28, 28)) is None
