import torch

from anomech.detectors import TypicalConfidence
from anomech.features import Features


def test_distance_from_the_own_class_by_hand():
    # Two classes with log-odds 1, 3 and 10, 14; a third has one example, and is measured by all: mean 6, deviation 5.7.
    logits = torch.tensor([[1.0, 0.0, -99], [3, 0, -99], [0, 10, -99], [0, 14, -99], [-99, 0, 2]])
    detector = TypicalConfidence().fit(Features({"output": logits}, torch.tensor([0, 0, 1, 1, 2])))
    inputs = Features({"output": torch.tensor([[5.0, 0.0, -99], [0, 12, -99], [-99, 0, 6]])}, torch.tensor([0, 1, 2]))
    assert [round(s, 3) for s in detector.score(inputs).tolist()] == [round(3 / 2**0.5, 3), 0.0, 0.0]
