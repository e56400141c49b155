"""Functional attribution by sampling: coupled inputs rise and fall together in loss.

Source: arXiv 2604.18970.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from anomech.detectors.coupling import Coupling
from anomech.errors import SettingsError
from anomech.features import FeatureExtractor, Features, LossTraces
from anomech.functional.couplings import concordance, pearson

TraceMeasure = Literal["pearson", "concordance"]
TRACE_MEASURES = {"pearson": pearson, "concordance": concordance}


@dataclass(kw_only=True)
class TraceCoupling(Coupling):
    """Coupling of loss traces.

    Attributes:
        features: Loss traces, or any features whose similarity means a shared mechanism.
        measure: "pearson", or "concordance", which also sees a difference in scale.
    """

    features: FeatureExtractor = field(default_factory=LossTraces)
    measure: TraceMeasure = "concordance"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.measure not in TRACE_MEASURES:
            raise SettingsError(f"measure must be one of {', '.join(TRACE_MEASURES)}; got {self.measure!r}.")

    def read(self, inputs: Features) -> tuple[Tensor, Tensor]:
        """Both in [-1, 1]."""
        coupling = self._couple(inputs)
        return self.pool(coupling, inputs.predictions), coupling

    def coupling_left_out(self, rows: Tensor) -> Tensor:
        """`[m, n]`."""
        return self._couple(self.trusted[rows])

    def _couple(self, inputs: Features) -> Tensor:
        return TRACE_MEASURES[self.measure](inputs.only_layer, self.trusted.only_layer)
