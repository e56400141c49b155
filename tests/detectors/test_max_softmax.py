import torch

from anomech.detectors import MaxSoftmax
from anomech.features import Features


def test_orders_as_one_minus_the_largest_probability_without_ties():
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 3
    features = Features({"output": logits}, logits.argmax(1))
    scores = MaxSoftmax().fit(features).score(features)
    assert torch.equal(scores.argsort(), (1 - logits.double().softmax(1).amax(1)).argsort())
    sure = Features({"output": torch.tensor([[50.0, 0.0], [60.0, 0.0]])}, torch.tensor([0, 0]))
    assert MaxSoftmax().fit(sure).score(sure).diff().item() < 0
