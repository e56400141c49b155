import pytest
import torch

from anomech.diffing import features as module
from anomech.diffing.cache import PairedActivations
from anomech.diffing.features import PairFeatures, features_by_text, without_sinks
from anomech.errors import DataError


class Coordinates(PairFeatures):
    def fit(self, pairs, *, track=None):
        return self

    def features(self, pairs):
        return pairs.difference

    @property
    def tuned_directions(self):
        return torch.eye(2)


def of_texts(text, tuned, norms=None):
    text, tuned = torch.tensor(text), torch.tensor(tuned)
    norms = torch.ones(len(text), 2) if norms is None else torch.tensor(norms)
    return PairedActivations(torch.zeros_like(tuned), tuned, norms, text, text, text)


def test_a_text_scores_what_its_strongest_place_does(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 2)
    blocks = [
        of_texts([0, 0, 0, 1], [[1.0, -5.0], [3.0, -4.0], [2.0, -6.0], [0.0, 7.0]]),
        of_texts([1, 2], [[9.0, 1.0], [-1.0, -1.0]]),
    ]
    assert features_by_text(Coordinates(), blocks, 3).tolist() == [[3.0, -4.0], [9.0, 7.0], [-1.0, -1.0]]


def test_attention_sinks_are_left_out():
    block = of_texts([0, 0, 0], [[99.0], [1.0], [2.0]], [[1.0, 900.0], [1.0, 1.0], [9.0, 9.0]])
    assert without_sinks(block).tuned.tolist() == [[1.0], [2.0]]
    assert features_by_text(Coordinates(), [block], 1).tolist() == [[2.0]]


def test_a_text_that_is_not_there_is_said():
    with pytest.raises(DataError, match="1 of 2 texts, first number 1"):
        features_by_text(Coordinates(), [of_texts([0], [[1.0]])], 2)
