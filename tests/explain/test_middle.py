import pytest
import torch

from anomech.errors import SettingsError
from anomech.explain.erasure import Erasure
from anomech.explain.middle import Middle
from anomech.explain.quantities import Anomaly, Output
from anomech.functional.localization import centre_of_mass


def test_the_highest_pixel_is_the_middle_of_what_is_erased(auditor, triggered):
    coarse = Erasure(rounds=2, share=0.01)
    erased = coarse.attribute(Anomaly(auditor), triggered) > 0
    found = Middle(erasure=coarse).attribute(Anomaly(auditor), triggered)
    assert found.shape == (4, 28, 28)
    highest = torch.stack([one.flatten().argmax() for one in found])
    places = torch.stack([highest // 28, highest % 28], dim=1).double()
    # With Gaussians as wide as half an image the highest pixel is nearly the mean of those that were erased.
    assert ((places - centre_of_mass(erased)).abs() <= 1.5).all()


def test_with_little_reach_it_is_what_is_erased(auditor, triggered):
    erased = Erasure(rounds=4, share=0.04).attribute(Anomaly(auditor), triggered) > 0
    found = Middle(reach=0.001).attribute(Anomaly(auditor), triggered)
    assert torch.equal(found > 0.5, erased)


def test_it_takes_at_most_what_it_says(auditor, triggered):
    before = auditor.task.cost.forward_passes
    Middle().attribute(Anomaly(auditor), triggered)
    spent = (auditor.task.cost.forward_passes - before) / len(triggered)
    assert spent <= Middle().passes(Anomaly(auditor), triggered.shape[1:]) <= 50


def test_what_cannot_be_is_refused(auditor, triggered):
    with pytest.raises(SettingsError, match="reach must be above 0, got 0"):
        Middle(reach=0)
    with pytest.raises(SettingsError, match="vouch for anomalies, not for the output"):
        Middle().attribute(Output(auditor.task), triggered)
