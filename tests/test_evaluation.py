import pytest
import torch

from anomech.evaluation import evaluate
from anomech.examples import Examples

# Two clean inputs, one of them misclassified; three attacks, one of which fails.
INPUTS = Examples(
    x=torch.zeros(5, 1),
    y=torch.tensor([0, 1, 1, 1, 2]),
    anomalous=torch.tensor([False, False, True, True, True]),
    target=torch.tensor([-1, -1, 0, 0, 0]),
)
PREDICTIONS = torch.tensor([0, 2, 0, 0, 2])
SCORES = torch.tensor([1.0, 60.0, 98.5, 50.0, 0.0])


def figures(**fields):
    known = {"predictions": PREDICTIONS, "scores": SCORES, "trusted_scores": torch.arange(99.0), "fpr": 0.05}
    return evaluate(INPUTS, **{**known, **fields})


def test_figures_by_hand():
    found = figures()
    assert found["auroc"] == pytest.approx(3 / 6)
    assert found["tpr_at_fpr_1"] == pytest.approx(1 / 3)
    assert found["realised_fpr_1"] == 0
    assert found["asr"] == pytest.approx(2 / 3)
    assert found["accuracy"] == 0.5
    # Filtered: clean score 1 against successful attacks with 98.5 and 50, of which the threshold of 5 % finds one.
    assert found["auroc_filtered"] == 1
    assert found["der"] == pytest.approx((2 / 3 * 0.5 - 0 + 1) / 2)
    assert found["der_posthoc"] == pytest.approx((2 / 3 + 1) / 2)


def test_without_targets_an_attack_succeeds_when_the_model_is_wrong():
    inputs = Examples(x=INPUTS.x, y=INPUTS.y, anomalous=INPUTS.anomalous)
    found = evaluate(inputs, predictions=PREDICTIONS, scores=SCORES, trusted_scores=torch.arange(99.0), fpr=0.05)
    assert found["asr"] == pytest.approx(2 / 3)


def test_figures_without_meaning_are_none_and_not_nan():
    clean = INPUTS[~INPUTS.anomalous]
    found = evaluate(clean, predictions=PREDICTIONS[:2], scores=SCORES[:2], trusted_scores=torch.arange(99.0), fpr=0.05)
    assert found["auroc"] is None
    assert found["tpr_at_fpr_1"] is None
    assert found["realised_fpr_5"] == 0
    assert found["der"] is None


def test_truth_is_needed():
    with pytest.raises(ValueError, match="anomalous"):
        evaluate(Examples(x=INPUTS.x), predictions=PREDICTIONS, scores=SCORES, trusted_scores=SCORES, fpr=0.01)
