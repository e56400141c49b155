"""Several detectors as one, whose false-positive rate is that of one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from anomech.detectors.base import Detector, Examination
from anomech.detectors.gradient_coupling import GradientCoupling
from anomech.detectors.gradient_span import GradientSpan
from anomech.detectors.mahalanobis import Mahalanobis
from anomech.errors import SettingsError
from anomech.features import FeatureExtractor, Features, GradientSketch, JointFeatures
from anomech.features.joint import part_of
from anomech.functional.combination import harmonic_mean_p, left_out_smooth_p_values, smooth_p_values


def complementary(sketch: GradientSketch) -> tuple[Detector, ...]:
    """Detectors that miss different attacks, for one sketch and a forward pass; chosen on development data.

    What trusted gradients span, how they are coupled to those of a class (the published reading), and activations.
    """
    by_class = GradientCoupling(features=sketch, measure="cosine", centred=False, pooling="class-level")
    return (GradientSpan(features=sketch), Mahalanobis(two_sided=True), by_class)


def _default() -> tuple[Detector, ...]:
    return complementary(GradientSketch())


@dataclass(kw_only=True)
class Ensemble(Detector):
    """Harmonic mean of the p-values of several detectors (Wilson 2019, doi 10.1073/pnas.1814092116).

    P-values go on falling beyond the range of the trusted scores, so that inputs there are still ordered, but no member
    overrules the others by being far beyond. The first member counts as much as all others together, so that these cost
    little where it is the better one. The mean is a score like any other: it is compared with those of trusted
    examples, so that the rate is that of one detector.

    Attributes:
        members: The detectors, none of them offline; the first one says what stands behind a score.
        features: Features of all members; follows from them.
    """

    members: tuple[Detector, ...] = field(default_factory=_default)
    features: FeatureExtractor = field(init=False)

    def __post_init__(self) -> None:
        if len(self.members) < 2 or any(member.offline for member in self.members):
            raise SettingsError("an ensemble has at least two members, and none of them is offline.")
        self.features = JointFeatures(tuple(dict.fromkeys(member.features for member in self.members)))

    def fit(self, trusted: Features) -> Self:
        """Fit every member."""
        super().fit(trusted)
        self._fitted = [replace(member).fit(self._of(member, trusted)) for member in self.members]
        self._trusted_scores = [member.trusted_scores() for member in self._fitted]
        return self

    def score(self, inputs: Features) -> Tensor:
        """`[m]`: minus the logarithm of the mean."""
        scores = (member.score(self._of(member, inputs)) for member in self._fitted)
        pairs = zip(self._trusted_scores, scores, strict=True)
        return _combine([smooth_p_values(trusted, found) for trusted, found in pairs])

    def trusted_scores(self) -> Tensor:
        """`[n]`, from the p-values of each trusted example among the others."""
        return _combine([left_out_smooth_p_values(scores) for scores in self._trusted_scores])

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the first member."""
        return self._fitted[0].layers

    def examine(self, inputs: Features, k: int) -> Examination:
        """Scores, and what stands behind those of the first member."""
        first = self._fitted[0].examine(self._of(self._fitted[0], inputs), k)
        return first._replace(scores=self.score(inputs))

    def coupling(self, inputs: Features) -> Tensor:
        """That of the first member."""
        return self._fitted[0].coupling(self._of(self._fitted[0], inputs))

    def _of(self, member: Detector, features: Features) -> Features:
        assert isinstance(self.features, JointFeatures)
        return part_of(features, self.features.parts.index(member.features))


def _combine(p: list[Tensor]) -> Tensor:
    first, *others = p
    return -harmonic_mean_p(torch.stack([first, harmonic_mean_p(torch.stack(others))])).log().float()
