"""What features stand for: the texts that they are most active on, token by token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anomech.diffing.features import PairFeatures, Pairs, features_by_text, features_in_parts
from anomech.errors import SettingsError


@dataclass(frozen=True)
class ActivatingText:
    """A text that a feature is active on.

    Attributes:
        text: Its number.
        values: The feature at each place that was read, by position; at a mean over tokens, by -1.
    """

    text: int
    values: dict[int, float]


@dataclass(frozen=True)
class ActiveFeature:
    """A feature, and where it is most active.

    Attributes:
        feature: Its number.
        energy: Its share of the squared codes of all features.
        active: Share of the texts that it is above 0 on.
        texts: Those that it is largest on, the largest first.
    """

    feature: int
    energy: float
    active: float
    texts: tuple[ActivatingText, ...]


def active_features(
    learnt: PairFeatures, pairs: Pairs, texts: int, *, features: int = 10, examples: int = 5
) -> list[ActiveFeature]:
    """Features that say most of what the models compute, by their squared codes, with their most activating texts.

    Args:
        learnt: A fitted dictionary, whose features are at least 0 and of unit norm.
        pairs: Activations.
        texts: How many texts they are of.
        features: Most that are told of.
        examples: Texts of each at most; only such that it is above 0 on.

    Raises:
        DataError: A text has no place that can be read.
        SettingsError: No features or texts are asked for.
    """
    if min(features, examples) < 1:
        raise SettingsError(f"features and examples must be at least 1, got {features} and {examples}.")
    largest = features_by_text(learnt, pairs, texts)
    energies = torch.stack([values.square().sum(dim=0) for _, values in features_in_parts(learnt, pairs)]).sum(dim=0)
    chosen = [int(i) for i in energies.argsort(descending=True, stable=True)[:features] if energies[i] > 0]
    shown = {feature: _most(largest[:, feature], examples) for feature in chosen}
    values = _values(learnt, pairs, shown)
    return [
        ActiveFeature(
            feature=feature,
            energy=float(energies[feature] / energies.sum()),
            active=float((largest[:, feature] > 0).float().mean()),
            texts=tuple(ActivatingText(text, values[feature, text]) for text in of),
        )
        for feature, of in shown.items()
    ]


def _most(values: Tensor, count: int) -> list[int]:
    """Texts with the largest positive values `[texts]`."""
    order = values.argsort(descending=True, stable=True)[:count]
    return [int(text) for text in order if values[text] > 0]


def _values(learnt: PairFeatures, pairs: Pairs, shown: dict[int, list[int]]) -> dict[tuple[int, int], dict[int, float]]:
    """Values of each feature in each of its texts, by position."""
    found: dict[tuple[int, int], dict[int, float]] = {(f, text): {} for f, texts in shown.items() for text in texts}
    for kept, values in features_in_parts(learnt, pairs):
        for feature, text in found:
            here = kept.text == text
            places, value = kept.position[here].tolist(), values[here, feature].tolist()
            found[feature, text].update(zip(places, value, strict=True))
    return found
