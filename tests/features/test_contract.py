"""What every feature extractor must do, whatever it is."""

import pytest
import torch

from anomech.features import Activations, LossTraces
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD
from anomech.tasks import ClassificationTask

FEW = {"chains": 1, "draws": 4}

EXTRACTORS = [
    LossTraces(RMSpropSGLD(**FEW, burn_in=2, thin=1)),
    LossTraces(RMSpropSGLD(**FEW, burn_in=2, thin=1), keep="seed"),
    LossTraces(SGLD(**FEW, burn_in=2, thin=1)),
    LossTraces(IsotropicNoise(**FEW)),
    LossTraces(IsotropicNoise(**FEW), keep="seed"),
    Activations("penultimate"),
    Activations("output"),
]

pytestmark = pytest.mark.parametrize("extractor", EXTRACTORS, ids=str)


@pytest.fixture
def fitted(extractor, fashion, tmp_path):
    task, trusted, inputs = fashion
    extractor.fit(task, trusted if extractor.needs_examples else None, tmp_path)
    return task, inputs, tmp_path


def test_one_finite_row_an_input_and_the_models_own_prediction(extractor, fitted):
    task, inputs, folder = fitted
    features = extractor.extract(task, inputs, folder)
    assert len(features) == len(features.only_layer) == len(inputs)
    assert features.only_layer.isfinite().all()
    assert features.only_layer.std(0).min() > 0
    assert torch.equal(features.predictions, task.predict(inputs))


def test_features_do_not_depend_on_the_batch(extractor, fitted):
    task, inputs, folder = fitted
    small = ClassificationTask(task.model, batch_size=7)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1))
    expected = extractor.extract(task, inputs, folder).only_layer[order]
    found = extractor.extract(small, inputs[order], folder).only_layer
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_extracting_again_gives_the_same(extractor, fitted):
    task, inputs, folder = fitted
    first, second = (extractor.extract(task, inputs, folder).only_layer for _ in range(2))
    assert torch.equal(first, second)


def test_the_model_is_left_as_it_was(extractor, fitted):
    task, inputs, folder = fitted
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    extractor.extract(task, inputs, folder)
    assert not task.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.state_dict().items())
    assert not any(m._forward_pre_hooks for m in task.model.modules())


def test_what_it_says_beforehand_is_what_it_takes(extractor, fashion, tmp_path):
    task, trusted, inputs = fashion
    extractor.fit(task, trusted if extractor.needs_examples else None, tmp_path)
    size = sum(f.stat().st_size for f in tmp_path.glob("draws-*"))
    assert size == pytest.approx(extractor.disk_bytes(task.model), rel=0.02, abs=2000)
    if getattr(extractor, "keep", "draws") == "draws":
        before = task.cost.forward_passes
        extractor.extract(task, inputs, tmp_path)
        assert task.cost.forward_passes - before == extractor.passes_per_input * len(inputs)
