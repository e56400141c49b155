"""What every feature extractor must do, whatever it is."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from factories import save_autoencoder

from anomech.features import (
    Activations,
    AmplifiedAgreement,
    AttributionEffects,
    BlendEntropy,
    CorruptionRobustness,
    GradientSketch,
    JointFeatures,
    LossTraces,
    ProbeShift,
    RegionHijacks,
    ResidualStream,
    SparseLatents,
    TokenLosses,
    UntrainedActivations,
)
from anomech.sampling import SGLD, IsotropicNoise, RMSpropSGLD

FOLDER = TemporaryDirectory()
"""Removed when the tests are done."""
FEW = {"chains": 1, "draws": 4}

EXTRACTORS = [
    LossTraces(RMSpropSGLD(**FEW, burn_in=2, thin=1)),
    LossTraces(RMSpropSGLD(**FEW, burn_in=2, thin=1), keep="seed"),
    LossTraces(SGLD(**FEW, burn_in=2, thin=1)),
    LossTraces(IsotropicNoise(**FEW)),
    LossTraces(IsotropicNoise(**FEW), keep="seed"),
    Activations("penultimate"),
    Activations("output"),
    AmplifiedAgreement(),
    BlendEntropy(images=8),
    CorruptionRobustness(),
    RegionHijacks(images=8),
    Activations("every"),
    Activations("features.*"),
    UntrainedActivations(),
    JointFeatures((Activations("output"), GradientSketch(size=4))),
    GradientSketch(),
    GradientSketch(behaviour="loss"),
    GradientSketch(size=4, preconditioner="diagonal"),
    GradientSketch(size=4, preconditioner="low-rank"),
]

OF_LANGUAGE = [
    AttributionEffects(),
    AttributionEffects(ablation="directions", backward="relp"),
    AttributionEffects(ablation="zero"),
    ProbeShift(),
    ResidualStream(),
    Activations("layers.*"),
    Activations("layers.*", position="last"),
    Activations("*.mlp,*.self_attn", position=(0, -1)),
    SparseLatents(str(save_autoencoder(Path(FOLDER.name) / "sae")), 1),
    TokenLosses("completion"),
    TokenLosses("prompt"),
    GradientSketch(size=4),
    LossTraces(IsotropicNoise(**FEW)),
]

OF_TEXTS = [
    Activations("penultimate"),
    Activations("output"),
    Activations("every"),
    Activations("encoder.layer.*", position="last"),
    UntrainedActivations(),
    GradientSketch(size=4),
    GradientSketch(size=4, preconditioner="low-rank"),
    LossTraces(RMSpropSGLD(**FEW, burn_in=2, thin=1)),
    LossTraces(IsotropicNoise(**FEW)),
]

pytestmark = pytest.mark.parametrize(
    ("extractor", "scene"),
    [
        *((e, "fashion") for e in EXTRACTORS),
        *((e, "language") for e in OF_LANGUAGE),
        *((e, "texts") for e in OF_TEXTS),
    ],
    indirect=["scene"],
    ids=str,
)


@pytest.fixture
def scene(request):
    """A task, trusted examples and inputs."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def fitted(extractor, scene, tmp_path):
    task, trusted, inputs = scene
    extractor.fit(task, trusted, tmp_path)
    return task, inputs, tmp_path


def test_one_finite_row_an_input_and_the_models_own_prediction(extractor, fitted):
    task, inputs, folder = fitted
    features = extractor.extract(task, inputs, folder)
    assert len(features) == len(inputs)
    for values in features.layers.values():
        assert len(values) == len(inputs)
        assert values.isfinite().all()
        assert values.std(0).max() > 0
    assert torch.equal(features.predictions, task.predict(inputs))


def test_features_do_not_depend_on_the_batch(extractor, fitted):
    task, inputs, folder = fitted
    small = type(task)(task.model, batch_size=7, device=task.device)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(1))
    expected = extractor.extract(task, inputs, folder)[order].layers
    found = extractor.extract(small, inputs[order], folder).layers
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-4 * max(1.0, float(values.abs().max())))


def test_extracting_again_gives_the_same(extractor, fitted):
    task, inputs, folder = fitted
    first, second = (extractor.extract(task, inputs, folder).layers for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_several_sets_are_extracted_as_each_of_them(extractor, fitted):
    task, inputs, folder = fitted
    sets = [inputs[torch.arange(30)], inputs[torch.arange(30, 75)]]
    for examples, features in zip(sets, extractor.extract_each(task, sets, folder), strict=True):
        alone = extractor.extract(task, examples, folder)
        assert torch.equal(features.predictions, alone.predictions)
        assert all(torch.equal(features.layers[name], values) for name, values in alone.layers.items())


def test_the_model_is_left_as_it_was(extractor, fitted):
    task, inputs, folder = fitted
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    hooks = number_of_hooks(task.model)
    extractor.extract(task, inputs, folder)
    assert not task.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.state_dict().items())
    assert number_of_hooks(task.model) == hooks


def number_of_hooks(model):
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


def test_what_it_says_beforehand_is_what_it_takes(extractor, scene, tmp_path):
    task, trusted, inputs = scene
    extractor.fit(task, trusted, tmp_path)
    size = sum(f.stat().st_size for f in tmp_path.glob("draws-*"))
    assert size == pytest.approx(extractor.disk_bytes(task.model), rel=0.02, abs=2000)
    if getattr(extractor, "keep", "draws") == "draws":
        before = task.cost.forward_passes
        extractor.extract(task, inputs, tmp_path)
        assert task.cost.forward_passes - before == extractor.passes_per_input * len(inputs)
