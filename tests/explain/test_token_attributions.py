"""What every attribution must do with texts."""

import pytest
import torch

from anomech.auditor import Auditor
from anomech.detectors import Perplexity
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.asking import Asking
from anomech.explain.attribution import gradient, number_at, point
from anomech.explain.controls import RandomPlaces
from anomech.explain.grad_cam import GradCAM
from anomech.explain.gradients import Gradient, GradientTimesInput, IntegratedGradients
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Anomaly, Output
from anomech.explain.reagent import ReAGent
from anomech.explain.rise import RISE
from anomech.explain.token_occlusion import TokenOcclusion

BOTH = [Gradient(), GradientTimesInput(), IntegratedGradients(steps=4), TokenOcclusion(), RandomPlaces()]
PAIRS = [
    *((kind, attribution) for kind in (Anomaly, Output) for attribution in BOTH),
    (Output, GradientTimesInput(backward="relp")),
    (Output, ReAGent(copies=20)),
]
each = pytest.mark.parametrize(("kind", "attribution"), PAIRS, ids=str)


@pytest.fixture
def quantity(kind, reader):
    return Anomaly(reader) if kind is Anomaly else Output(reader.task)


@each
def test_every_token_has_a_value_whatever_else_is_in_the_batch(attribution, quantity, prompts):
    before = prompts.clone()
    together = attribution.attribute(quantity, prompts)
    assert together.shape == (4, prompts.shape[2])
    assert together.isfinite().all()
    alone = attribution.attribute(quantity, prompts[1:2, :, :4])
    if not isinstance(attribution, RandomPlaces):
        torch.testing.assert_close(together[1:2, :4], alone, rtol=1e-2, atol=1e-2 * float(alone.abs().max()))
    assert torch.equal(prompts, before)


@each
def test_the_cost_is_known_before(attribution, quantity, prompts):
    before = quantity.task.cost.forward_passes
    attribution.attribute(quantity, prompts[:1, :, :6].repeat(4, 1, 1))
    spent = (quantity.task.cost.forward_passes - before) / 4
    known = attribution.passes(quantity, torch.Size([2, 6]))
    assert spent <= 1.15 * known
    assert spent == pytest.approx(known, rel=0.5)


@pytest.mark.parametrize("kind", [Anomaly, Output])
def test_the_gradient_is_that_of_differences(kind, quantity, prompts):
    where, answers = point(quantity, prompts).double().float(), torch.zeros(4)
    torch.testing.assert_close(
        number_at(quantity, where, prompts, answers).detach().cpu(),
        quantity.values(prompts, answers),
        rtol=1e-3,
        atol=1e-3,
    )
    direction = torch.randn(where.shape, generator=torch.Generator().manual_seed(1))
    step = 1e-3
    ahead, behind = (number_at(quantity, where + s * step * direction, prompts, answers) for s in (1, -1))
    expected = ((ahead - behind) / (2 * step)).detach().cpu()
    found = (gradient(quantity, prompts, answers) * direction).flatten(1).sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))


def test_padding_has_no_gradient(reader, prompts):
    found = Gradient().attribute(Output(reader.task), prompts)
    assert (found[1, 3:] == 0).all()
    assert (found[1, :3] > 0).all()


@pytest.mark.parametrize("attribution", [Occlusion(), RISE(), GradCAM()], ids=str)
def test_attributions_of_images_refuse_texts(attribution, reader, prompts):
    with pytest.raises(SettingsError, match="one of images"):
        attribution.attribute(Output(reader.task), prompts)


@pytest.mark.parametrize("attribution", [TokenOcclusion(), ReAGent()], ids=str)
def test_attributions_of_texts_refuse_images(attribution, auditor, triggered):
    with pytest.raises(SettingsError, match="one of texts"):
        attribution.attribute(Output(auditor.task), triggered)


@pytest.mark.parametrize("attribution", [GradientTimesInput(backward="relp"), ReAGent()], ids=str)
def test_some_explain_the_output_alone(attribution, reader, prompts):
    with pytest.raises(SettingsError, match="anomaly"):
        attribution.attribute(Anomaly(reader, Asking(reader.task, 2, 3)), prompts)


def test_a_detector_without_gradients_says_what_to_choose(reader, prompts):
    auditor = Auditor(reader.task, Perplexity()).fit(Examples(x=reader.reference.x))
    with pytest.raises(SettingsError, match="occlusion"):
        Gradient().attribute(Anomaly(auditor), prompts)
    assert TokenOcclusion().attribute(Anomaly(auditor), prompts).any()


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="backward"):
        GradientTimesInput(backward="forward")
    with pytest.raises(SettingsError, match="copies"):
        ReAGent(copies=0)
    with pytest.raises(SettingsError, match="replaced"):
        ReAGent(replaced=1)
