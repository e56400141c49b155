import copy
from dataclasses import replace

import pytest
import torch

from anomech.errors import ChainError, SettingsError
from anomech.features import LossTraces
from anomech.sampling import IsotropicNoise, RMSpropSGLD


def test_kept_draws_and_the_seed_give_nearly_the_same_traces(fashion, tmp_path):
    task, trusted, inputs = fashion
    traces = []
    for keep in ("draws", "seed"):
        folder = tmp_path / keep
        folder.mkdir()
        extractor = LossTraces(RMSpropSGLD(chains=1, draws=6, burn_in=2, thin=1), keep=keep)
        extractor.fit(task, trusted, folder)
        traces.append(extractor.extract(task, inputs, folder).only_layer)
    # 8 bits round a difference of weights to 1/254 of the largest; its loss follows.
    assert torch.corrcoef(torch.stack([t.flatten() for t in traces]))[0, 1] > 0.9999


@pytest.mark.parametrize("keep", ["draws", "seed"])
def test_several_sets_take_one_pass_over_the_draws(fashion, tmp_path, monkeypatch, keep):
    task, trusted, inputs = fashion
    extractor = LossTraces(RMSpropSGLD(chains=1, draws=4, burn_in=2, thin=1), keep=keep)
    extractor.fit(task, trusted, tmp_path)
    passes = []
    monkeypatch.setattr(LossTraces, "_draws", lambda *given, draws=LossTraces._draws: passes.append(1) or draws(*given))
    extractor.extract_each(task, [trusted, inputs], tmp_path)
    assert len(passes) == 1


@pytest.mark.parametrize("keep", ["draws", "seed"])
def test_traces_of_some_parameters_are_those_of_a_model_of_which_only_these_move(fashion, tmp_path, keep):
    task, trusted, inputs = fashion
    (name, last) = list(task.model.named_parameters())[-2]
    extractor = LossTraces(IsotropicNoise(chains=1, draws=2, sigma=0.05, parameters=f"^{name}$"), keep=keep)
    extractor.fit(task, trusted, tmp_path)
    found = extractor.extract(task, inputs, tmp_path).only_layer
    generator = torch.Generator().manual_seed(0)
    answers = task.predict(inputs)
    for column in found.T:
        model = copy.deepcopy(task.model)
        noise = torch.randn(last.numel(), generator=generator).view_as(last)
        model.get_parameter(name).data.add_(noise, alpha=0.05)
        torch.testing.assert_close(column, task.losses(model, inputs, answers), rtol=0.02, atol=2e-3)
    whole = replace(extractor, sampler=replace(extractor.sampler, parameters="all"))
    assert (keep == "draws") == (extractor.disk_bytes(task.model) < whole.disk_bytes(task.model))


def test_draws_that_are_missing_yield_no_features(fashion, tmp_path):
    task, trusted, inputs = fashion
    LossTraces(IsotropicNoise(chains=1, draws=3)).fit(task, trusted, tmp_path)
    with pytest.raises(ValueError, match="shorter"):
        LossTraces(IsotropicNoise(chains=1, draws=4)).extract(task, inputs, tmp_path)


def test_traces_are_the_loss_of_the_models_own_prediction(fashion, tmp_path):
    task, _, inputs = fashion
    extractor = LossTraces(IsotropicNoise(chains=1, draws=2, sigma=1e-7), keep="seed")
    features = extractor.extract(task, inputs, tmp_path)
    with torch.no_grad():
        probabilities = task.model(inputs.x).double().softmax(1).amax(1)
    torch.testing.assert_close(features.only_layer[:, 0].double(), -probabilities.log(), rtol=1e-2, atol=1e-5)


def test_noise_that_destroys_the_model_yields_no_scores(fashion, tmp_path):
    task, trusted, _ = fashion
    extractor = LossTraces(IsotropicNoise(chains=1, draws=4, sigma=3.0), keep="seed")
    features = extractor.extract(task, trusted, tmp_path)
    with pytest.raises(ChainError, match=r"no better than chance.*lower sigma"):
        extractor.health(task, trusted, features)


def test_losses_that_are_not_finite_yield_no_features(fashion, tmp_path):
    task, _, inputs = fashion
    with pytest.raises(ChainError, match="NaN or infinite"):
        LossTraces(IsotropicNoise(chains=1, draws=2, sigma=1e30), keep="seed").extract(task, inputs, tmp_path)


def test_an_unknown_way_of_keeping_is_refused():
    with pytest.raises(SettingsError, match="keep"):
        LossTraces(keep="weights")
