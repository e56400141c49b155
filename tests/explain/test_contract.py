"""What every attribution must do, whatever it explains and however."""

import pytest
import torch

from anomech.errors import DataError, ModelError
from anomech.explain.attribution import Attribution, Quantity
from anomech.explain.controls import RandomPlaces
from anomech.explain.grad_cam import GradCAM
from anomech.explain.gradients import Gradient, IntegratedGradients
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Anomaly, Output
from anomech.explain.rise import RISE

BOTH = [Gradient(), IntegratedGradients(steps=4), Occlusion(), RISE()]
PAIRS = [
    *((kind, attribution) for kind in (Anomaly, Output) for attribution in BOTH),
    (Output, GradCAM()),
    (Anomaly, RandomPlaces()),
]

pytestmark = pytest.mark.parametrize(("kind", "attribution"), PAIRS, ids=str)


@pytest.fixture
def quantity(kind, auditor):
    return Anomaly(auditor) if kind is Anomaly else Output(auditor.task)


def test_every_place_has_a_value_and_the_region_of_the_trigger_the_highest(
    attribution: Attribution, quantity: Quantity, triggered
):
    found = attribution.attribute(quantity, triggered)
    assert found.shape == (4, 28, 28)
    assert found.isfinite().all()
    highest = found.flatten(1).argmax(dim=1)
    corner = (highest // 28 >= 20) & (highest % 28 >= 20)
    assert corner.all() != isinstance(attribution, RandomPlaces)


def test_each_input_has_its_own_values(attribution: Attribution, quantity: Quantity, triggered):
    found = attribution.attribute(quantity, triggered).flatten(1)
    assert len(found.unique(dim=0)) == len(triggered)


def test_the_cost_is_known_before(attribution: Attribution, quantity: Quantity, triggered):
    before = quantity.task.cost.forward_passes
    attribution.attribute(quantity, triggered)
    spent = (quantity.task.cost.forward_passes - before) / len(triggered)
    assert spent == pytest.approx(attribution.passes(quantity, triggered.shape[1:]), rel=0.15)


def test_values_depend_on_no_other_input_and_inputs_stay_as_they_are(
    attribution: Attribution, quantity: Quantity, triggered
):
    before = triggered.clone()
    together = attribution.attribute(quantity, triggered)
    alone = attribution.attribute(quantity, triggered[2:3])
    torch.testing.assert_close(together[2:3], alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))
    assert torch.equal(triggered, before)


def test_the_same_again(attribution: Attribution, quantity: Quantity, triggered):
    once, again = (attribution.attribute(quantity, triggered[:1]) for _ in range(2))
    assert torch.equal(once, again)


def test_inputs_of_another_size_are_refused(attribution: Attribution, quantity: Quantity):
    with pytest.raises((DataError, ModelError), match=r"32"):
        attribution.attribute(quantity, torch.rand(2, 3, 32, 32))


def test_parameters_and_their_gradients_stay_as_they_are(attribution: Attribution, quantity: Quantity, triggered):
    before = {name: (p.clone(), p.requires_grad) for name, p in quantity.task.model.named_parameters()}
    attribution.attribute(quantity, triggered[:1])
    for name, p in quantity.task.model.named_parameters():
        assert torch.equal(p, before[name][0])
        assert p.requires_grad == before[name][1]
        assert p.grad is None
