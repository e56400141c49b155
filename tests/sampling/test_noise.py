import pytest
import torch

from anomech.errors import SettingsError
from anomech.sampling import IsotropicNoise


def test_noise_has_the_given_scale_and_is_independent(regression):
    task, _ = regression
    sampler = IsotropicNoise(chains=2, draws=2000, sigma=0.5)
    drawn = torch.stack([flat.weights.clone() for flat in sampler.draw(task)]) - task.model.weight.detach()
    assert drawn.std().item() == pytest.approx(0.5, rel=0.03)
    assert drawn.mean().abs() < 0.03
    assert (drawn[1:] * drawn[:-1]).mean().abs() < 0.02


def test_parameters_must_be_a_pattern():
    with pytest.raises(SettingsError, match='"last-K" or a regular expression'):
        IsotropicNoise(parameters="(")


def test_noise_without_scale_is_refused():
    with pytest.raises(SettingsError, match="sigma"):
        IsotropicNoise(sigma=0.0)
