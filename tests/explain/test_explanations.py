from dataclasses import replace

import pytest
import torch

from anomech.auditor import Auditor
from anomech.detectors import QuantumEntropy
from anomech.errors import SettingsError
from anomech.explain.explanations import Explainer
from anomech.explain.occlusion import Occlusion
from anomech.organisms.triggers import BlendTrigger


@pytest.fixture(scope="module")
def audited(auditor, fashion):
    _, _, inputs = fashion
    return inputs, auditor.audit(inputs)


@pytest.fixture(scope="module")
def positions(audited):
    inputs, verdicts = audited
    return (inputs.anomalous & verdicts.flagged).nonzero().flatten()[:6]


@pytest.fixture(scope="module")
def found(auditor, audited, positions):
    return Explainer().explain(auditor, *audited, positions)


def test_the_trigger_is_found_and_the_model_answers_without_it(found, audited, positions):
    inputs, verdicts = audited
    assert found.located.all()
    assert found.hidden[:, 24:26, 24:26].any(dim=2).any(dim=1).all()
    assert (found.remaining < 0.2).all()
    assert (found.verdicts.predictions == inputs.y[positions]).sum() >= 5
    assert (found.verdicts.p_values > verdicts.p_values[positions]).all()


def test_what_is_not_hidden_stays(found, audited, positions):
    shown = ~found.hidden[:, None]
    assert torch.equal(found.neutralised.x[shown], audited[0].x[positions][shown])


def test_the_cost_is_known_before(auditor, audited, positions):
    task, explainer = auditor.task, Explainer()
    before = task.cost.forward_passes
    explainer.explain(auditor, *audited, positions)
    spent = (task.cost.forward_passes - before) / len(positions)
    assert spent == explainer.passes(auditor, audited[0].x.shape[1:])
    assert spent <= 200


def test_a_trigger_all_over_the_image_has_no_place(auditor, fashion):
    """The shipped model does not know this one, which moves its answers all the same."""
    _, _, inputs = fashion
    blended = replace(inputs, x=BlendTrigger(alpha=0.5)(inputs.x))
    verdicts = auditor.audit(blended)
    positions = verdicts.flagged.nonzero().flatten()[:8]
    found = Explainer().explain(auditor, blended, verdicts, positions)
    assert found.located.double().mean() < 0.3


def test_columns_have_a_row_for_every_input(found):
    columns = found.columns(190)
    assert {len(column) for column in columns.values()} == {190}
    assert columns["located"].null_count == 184
    box = columns["box"][int(found.positions[0])].as_py()
    assert box[0] <= 24 < box[2]
    assert box[1] <= 24 < box[3]


def test_an_explanation_is_found_by_the_position_of_its_input(found, positions):
    assert found.of(int(positions[2])) == 2
    assert found.of(0) is None


def test_settings_are_checked(fashion):
    with pytest.raises(SettingsError, match="share"):
        Explainer(share=0)
    with pytest.raises(SettingsError, match="batch"):
        Explainer().passes(Auditor(fashion[0], QuantumEntropy()), torch.Size([1, 28, 28]))


def test_another_attribution_takes_its_place(auditor, audited, positions):
    coarse = Explainer(attribution=Occlusion(levels=1))
    assert coarse.passes(auditor, torch.Size([1, 28, 28])) < Explainer().passes(auditor, torch.Size([1, 28, 28]))
    assert len(coarse.explain(auditor, *audited, positions[:1])) == 1
