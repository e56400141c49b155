from dataclasses import replace

import pytest
import torch

from anomech.auditor import Auditor
from anomech.detectors import Mahalanobis
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.erasure import Erasure, erase_further
from anomech.explain.explanations import Explainer
from anomech.explain.quantities import Anomaly, Output
from anomech.features import Activations


@pytest.fixture(scope="module")
def erased(auditor, triggered):
    return Erasure().attribute(Anomaly(auditor), triggered)


def test_trusted_examples_vouch_for_what_is_left_and_the_trigger_goes_first(auditor, erased, triggered):
    eraser = Explainer().eraser
    without = auditor.audit(Examples(x=eraser.erase(triggered, erased > 0)))
    assert (without.p_values > auditor.calibrator.fpr).all()
    assert ((erased > 0).flatten(1).double().mean(1) < 0.06).all()
    highest = erased.flatten(1).argmax(dim=1)
    assert ((highest // 28 >= 22) & (highest % 28 >= 22)).all()


def test_nothing_is_erased_that_trusted_examples_explain(auditor, fashion):
    clean = fashion[2].x[~fashion[2].anomalous][:8]
    fine = auditor.audit(Examples(x=clean)).p_values > auditor.calibrator.fpr
    assert fine.any()
    assert not Erasure().attribute(Anomaly(auditor), clean[fine]).any()


def test_no_more_is_erased_than_the_rounds_allow(auditor, triggered):
    once = Erasure(rounds=1).attribute(Anomaly(auditor), triggered)
    assert ((once > 0).flatten(1).sum(1) == 8).all()


def test_it_takes_at_most_what_it_says(auditor, triggered):
    before, erasure = auditor.task.cost.forward_passes, Erasure(rounds=2)
    erasure.attribute(Anomaly(auditor), triggered)
    spent = (auditor.task.cost.forward_passes - before) / len(triggered)
    assert spent <= erasure.passes(Anomaly(auditor), triggered.shape[1:])


def test_explanations_go_on_where_no_trusted_example_vouches(auditor, fashion):
    inputs = fashion[2]
    verdicts = auditor.audit(inputs)
    positions = (inputs.anomalous & verdicts.flagged).nonzero().flatten()[:4]
    # A pixel is not enough to break the trigger.
    found = Explainer(share=0.0013).explain(auditor, inputs, verdicts, positions)
    assert not (found.verdicts.p_values > 0.01).any()
    further = erase_further(auditor, inputs, found, erasure=Erasure())
    assert (further.verdicts.p_values > 0.01).all()
    assert further.erased.all()
    assert torch.equal(further.remaining, found.remaining)
    assert (further.hidden.sum() > found.hidden.sum()).all()
    shown = ~further.hidden[:, None]
    assert torch.equal(further.neutralised.x[shown], inputs.x[positions][shown])
    assert erase_further(auditor, inputs, further, erasure=Erasure()) is further


def test_it_goes_with_gradients_of_images_alone(auditor, triggered, fashion):
    other = Auditor(fashion[0], Mahalanobis(features=Activations("output")))
    assert Erasure.goes_with(auditor, triggered)
    assert not Erasure.goes_with(other, triggered)
    assert not Erasure.goes_with(auditor, torch.zeros(3, 2, 5, dtype=torch.int64))


def test_what_cannot_be_is_refused(auditor, triggered):
    with pytest.raises(SettingsError, match="vouch for anomalies, not for the output"):
        Erasure().attribute(Output(auditor.task), triggered)
    for settings in ({"rounds": 0}, {"share": 0}, {"share": 0.2}):
        with pytest.raises(SettingsError, match="rounds of"):
            replace(Erasure(), **settings)
