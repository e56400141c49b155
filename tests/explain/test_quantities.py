import pytest
import torch
from torch import nn

from anomech.auditor import Auditor
from anomech.detectors import GradientCoupling, GradientSpan, Mahalanobis, QuantumEntropy
from anomech.errors import DataError, SettingsError
from anomech.examples import Examples
from anomech.explain.attribution import gradient
from anomech.explain.quantities import Anomaly, Output
from anomech.features import GradientSketch
from anomech.tasks import ClassificationTask

DETECTORS = [
    GradientSpan(),
    GradientCoupling(),
    GradientSpan(features=GradientSketch(preconditioner="diagonal")),
    GradientSpan(features=GradientSketch(behaviour="loss")),
]


class Small(nn.Module):
    """Batch normalisation, pooling, layers that may work in place, and a weight that no rule covers."""

    def __init__(self, *between):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), between[0], between[1], nn.Conv2d(4, 6, 3), between[2]
        )
        self.scale = nn.Parameter(torch.ones(6, 1, 1))
        self.classifier = nn.Linear(24, 3)

    def forward(self, x):
        return self.classifier((self.scale * self.features(x)).flatten(1))


KINKED = (nn.ELU(), nn.MaxPool2d(2), nn.ReLU(inplace=True))
SMOOTH = (nn.Tanh(), nn.AvgPool2d(2), nn.Softplus())


def planted(*between):
    """The anomaly for such a model, and inputs."""
    torch.manual_seed(0)
    model, x = Small(*between), torch.rand(60, 1, 8, 8)
    model.train()(x)
    model.classifier.bias.data -= model.eval()(x).mean(dim=0).detach()
    return Anomaly(Auditor(ClassificationTask(model, device="cpu")).fit(Examples(x=x))), torch.rand(5, 1, 8, 8)


@pytest.mark.parametrize("detector", DETECTORS, ids=str)
def test_the_differentiable_score_is_the_auditors_own(fashion, triggered, detector):
    task, trusted, inputs = fashion
    anomaly = Anomaly(Auditor(task, detector).fit(trusted))
    x = torch.cat([triggered, inputs.x[:3]])
    answers = task.predict(Examples(x=x))
    found = anomaly.differentiable(x.clone().requires_grad_(), answers)
    torch.testing.assert_close(found.detach(), anomaly.values(x, answers), rtol=1e-3, atol=1e-3)


def test_layers_of_every_kind_agree():
    anomaly, x = planted(*KINKED)
    found = anomaly.differentiable(x.clone().requires_grad_(), torch.zeros(5))
    torch.testing.assert_close(found.detach(), anomaly.values(x, torch.zeros(5)), rtol=1e-3, atol=1e-3)


def test_the_gradient_is_that_of_differences():
    anomaly, x = planted(*SMOOTH)
    answers = anomaly.task.predict(Examples(x=x))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    step = 1e-3
    ahead, behind = (anomaly.differentiable(x + sign * step * direction, answers) for sign in (1, -1))
    expected = ((ahead - behind) / (2 * step)).detach()
    found = (gradient(anomaly, x, answers) * direction).flatten(1).sum(dim=1)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))


def test_the_output_is_the_evidence_for_the_first_answer(fashion, triggered):
    task, _, inputs = fashion
    answers = task.predict(Examples(x=triggered))
    output, others = Output(task), inputs.x[:4]
    with torch.no_grad():
        expected = task.evidence(task.model(others), answers)
    torch.testing.assert_close(output.values(others, answers), expected)
    torch.testing.assert_close(output.differentiable(others, answers).detach(), expected)


def test_a_detector_of_a_batch_explains_nothing(fashion):
    with pytest.raises(SettingsError, match="batch"):
        Anomaly(Auditor(fashion[0], QuantumEntropy()))


def test_scores_without_gradients_say_what_to_do(fashion, triggered):
    task, trusted, _ = fashion
    anomaly = Anomaly(Auditor(task, Mahalanobis()).fit(trusted))
    with pytest.raises(SettingsError, match="occlusion"):
        anomaly.differentiable(triggered, torch.zeros(4))


def test_the_shape_is_that_of_trusted_examples(auditor):
    with pytest.raises(DataError, match="32"):
        Anomaly(auditor).check(torch.rand(1, 1, 32, 32))
