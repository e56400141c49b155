import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from anomech import ClassificationTask, Examples, GradientSketch
from anomech.errors import ArtefactError, DataError, SettingsError
from anomech.gradients import sketcher


def images(n, seed=0):
    return Examples(x=torch.rand(n, 6, generator=torch.Generator().manual_seed(seed)))


def certain():
    """A classifier whose softmax is exactly 1 in single precision, and whose cross-entropy has no gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
    model[2].bias.data = torch.tensor([500.0, 0.0, 0.0])
    return model


def test_a_certain_model_keeps_its_gradients(tmp_path):
    task, inputs = ClassificationTask(certain(), device="cpu"), images(5)
    logits = task.model(inputs.x)
    assert logits.softmax(1).amax(1).eq(1).all()
    logits.retain_grad()
    F.cross_entropy(logits, logits.argmax(1)).backward()
    assert not logits.grad.any()

    sketch = GradientSketch()
    sketch.fit(task, inputs, tmp_path)
    layers = sketch.extract(task, inputs, tmp_path).layers
    assert all(values.norm(dim=1).min() > 1e-3 for values in layers.values())


def test_certainty_does_not_change_the_direction(tmp_path):
    """The cross-entropy's gradient is that of the log-odds, times a factor that vanishes."""
    torch.manual_seed(0)
    task, inputs = ClassificationTask(nn.Sequential(nn.Linear(6, 3)), device="cpu"), images(5)
    found = {}
    for behaviour in ("evidence", "loss"):
        sketch = GradientSketch(behaviour=behaviour)
        sketch.fit(task, inputs, tmp_path)
        found[behaviour] = sketch.extract(task, inputs, tmp_path).only_layer
    torch.testing.assert_close(F.cosine_similarity(found["evidence"], found["loss"]), -torch.ones(5))
    assert (found["loss"].norm(dim=1) < found["evidence"].norm(dim=1)).all()


def test_layers_are_modules_in_their_order(tmp_path):
    task = ClassificationTask(certain(), device="cpu")
    sketch = GradientSketch(size=4)
    sketch.fit(task, images(3), tmp_path)
    layers = sketch.extract(task, images(5), tmp_path).layers
    assert {name: values.shape for name, values in layers.items()} == {"0": (5, 16 + 9), "2": (5, 4 * 3 + 3)}
    assert sketch.width(task.model) == 16 + 9 + 12 + 3


def test_some_parameters_are_enough(tmp_path):
    task = ClassificationTask(certain(), device="cpu")
    sketch = GradientSketch(size=4, parameters="^2.weight")
    sketch.fit(task, images(3), tmp_path)
    layers = sketch.extract(task, images(5), tmp_path).layers
    assert {name: values.shape for name, values in layers.items()} == {"2": (5, 4 * 3)}
    assert sketch.width(task.model) == 12


def test_what_has_no_rule_is_found_when_fitting(tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.temperature = nn.Linear(6, 3), nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.layer(x) * self.temperature + x @ self.layer.weight.T

    task = ClassificationTask(Scaled(), device="cpu")
    sketch = GradientSketch()
    sketch.fit(task, images(3), tmp_path)
    assert json.loads((tmp_path / "plan.json").read_text())["general"] == ["layer.weight"]
    assert set(sketch.extract(task, images(5), tmp_path).layers) == {"layer", "temperature"}


def test_a_layer_that_answers_nothing_is_left_out(tmp_path):
    """A shift of all logits does not change their log-odds; its gradient is rounding error with a direction."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shift = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), nn.Linear(6, 1)

        def forward(self, x):
            return self.body(x) + self.shift(x)

    for seed in range(20):
        torch.manual_seed(seed)
        task = ClassificationTask(Shifted(), device="cpu")
        sketch = GradientSketch()
        sketch.fit(task, images(20), tmp_path)
        found = sketch.extract(task, images(50, seed=1), tmp_path).layers
        # Where rounding errors happen to cancel in all examples, it cannot be told from one that may yet wake up.
        assert not found.pop("shift", torch.zeros(1)).any()
        assert set(found) == {"body.0", "body.2"}


def test_a_model_that_flattens_with_view_is_not_given_channels_last(tmp_path):
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(48, 3)

        def forward(self, x):
            return self.head(x.view(len(x), -1))

    inputs = Examples(x=torch.rand(4, 3, 4, 4))
    task = ClassificationTask(Viewing(), device="cpu")
    GradientSketch().fit(task, inputs, tmp_path)
    assert len(GradientSketch().extract(task, inputs, tmp_path)) == 4


def test_bfloat16_changes_little(fashion, tmp_path):
    task, trusted, inputs = fashion
    GradientSketch().fit(task, trusted, tmp_path)
    exact, coarse = (GradientSketch(precision=p).extract(task, inputs, tmp_path) for p in ("float32", "bfloat16"))
    for name, values in exact.layers.items():
        assert F.cosine_similarity(values, coarse.layers[name]).median() > 0.99


@pytest.mark.parametrize("preconditioner", ["diagonal", "low-rank"])
def test_a_weak_curvature_changes_nothing_but_the_scale(fashion, tmp_path, preconditioner):
    task, trusted, inputs = fashion
    plain, weak = GradientSketch(), GradientSketch(preconditioner=preconditioner, gamma=4.0, nbeta=1e-9)
    assert weak.needs_examples
    assert not plain.needs_examples
    weak.fit(task, trusted, tmp_path)
    some = inputs[torch.arange(10)]
    for name, values in plain.extract(task, some, tmp_path).layers.items():
        torch.testing.assert_close(weak.extract(task, some, tmp_path).layers[name], values / 2, rtol=1e-3, atol=1e-3)


def test_an_infinite_gradient_names_its_input(tmp_path, monkeypatch):
    task = ClassificationTask(certain(), device="cpu")
    sketch, inputs = GradientSketch(), images(5)
    sketch.fit(task, inputs, tmp_path)
    honest = sketcher.GradientSketcher.sketch

    def broken(*args):
        outputs, sketches = honest(*args)
        sketches[0]["0.weight"][3] = torch.inf
        return outputs, sketches

    monkeypatch.setattr(sketcher.GradientSketcher, "sketch", broken)
    with pytest.raises(DataError, match="infinite on input '3'"):
        sketch.extract(task, inputs, tmp_path)


def test_a_lost_plan_is_a_damaged_artefact(tmp_path):
    with pytest.raises(ArtefactError, match="fit the auditor again"):
        GradientSketch().extract(ClassificationTask(certain(), device="cpu"), images(2), tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"behaviour": "x"},
        {"parameters": "("},
        {"preconditioner": "x"},
        {"precision": "x"},
        {"size": 0},
        {"gamma": 0.0},
        {"nbeta": -1.0},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(SettingsError):
        GradientSketch(**wrong)
