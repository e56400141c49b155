import torch

from anomech.detectors import Perplexity
from anomech.features import Features


def test_it_is_the_loss_and_certainty_its_negative():
    losses = Features({"completion": torch.tensor([[0.1], [3.0]])}, torch.zeros(2, dtype=torch.int64))
    for certain, expected in ((False, [0.1, 3.0]), (True, [-0.1, -3.0])):
        fitted = Perplexity(certain=certain).fit(losses)
        assert torch.equal(fitted.score(losses), torch.tensor(expected))
        assert torch.equal(fitted.trusted_scores(), torch.tensor(expected))
