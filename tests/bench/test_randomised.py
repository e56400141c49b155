import pytest
import torch

from anomech.auditor import Auditor
from anomech.bench.randomised import of_random_models, randomised, resemblance
from anomech.explain.controls import RandomPlaces
from anomech.explain.gradients import Gradient
from anomech.explain.quantities import Output


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
