import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from anomech.detectors import Mahalanobis
from anomech.features import Features


def test_agrees_with_scipy_on_the_shrunk_covariance():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(60, 5, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0, 0.5, 1.0])
    classes = torch.arange(60) % 2
    inputs = Features({"penultimate": torch.randn(8, 5, generator=generator).double()}, torch.arange(8) % 2)
    means = torch.stack([values[classes == c].mean(0) for c in (0, 1)])
    precision = LedoitWolf(assume_centered=True).fit((values - means[classes]).numpy()).precision_
    expected = [
        mahalanobis(x.numpy(), means[c].numpy(), precision) ** 2
        for x, c in zip(inputs.only_layer, inputs.predictions, strict=True)
    ]
    scores = Mahalanobis().fit(Features({"penultimate": values}, classes)).score(inputs)
    torch.testing.assert_close(scores, torch.tensor(expected).float(), rtol=1e-5, atol=1e-5)


def test_an_unseen_class_is_measured_from_the_nearest_one():
    values = torch.cat([torch.randn(30, 3), torch.randn(30, 3) + 10])
    detector = Mahalanobis().fit(Features({"penultimate": values}, torch.arange(60) // 30))
    point = torch.full((2, 3), 10.0)
    known, unknown = detector.score(Features({"penultimate": point}, torch.tensor([1, 7])))
    torch.testing.assert_close(known, unknown)
