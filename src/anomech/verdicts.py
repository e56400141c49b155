"""Verdicts: what an audit says about each input."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from torch import Tensor

from anomech.functional.conformal import flags_by_chance, threshold

LAYERS = 3
"""Layers that are named for an input."""

CHANCE_LEVEL = 0.05
"""Flags that chance alone brings about less often than this are called anomalies."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """One row an input.

    Attributes:
        ids: Names of the inputs.
        predictions: What the model answered, `[m]`.
        scores: Higher is more anomalous, `[m]`.
        p_values: Conformal p-values, `[m]`: the share of clean inputs at least as anomalous as this one.
        flagged: bool `[m]`.
        voucher_positions: The trusted examples most strongly coupled to each input, strongest first, int64 `[m, k]`.
        voucher_couplings: Their couplings, `[m, k]`.
        layers: Layers that the detector reads one by one; may be none.
        by_layer: How unusual each input is in each of them, `[m, layers]`; 1 is as unusual as the most unusual
            twentieth of trusted examples.
        trusted_ids: Names of the trusted examples that the positions point into.
        trusted_scores: Score of each trusted example against all the others, `[n]`; what p-values are read from.
        fpr: Accepted false-positive rate.
        fdr: Accepted false-discovery rate over the batch; where given, it decides what is flagged.
    """

    ids: tuple[str, ...]
    predictions: Tensor
    scores: Tensor
    p_values: Tensor
    flagged: Tensor
    voucher_positions: Tensor
    voucher_couplings: Tensor
    layers: tuple[str, ...]
    by_layer: Tensor
    trusted_ids: tuple[str, ...]
    trusted_scores: Tensor
    fpr: float
    fdr: float | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def threshold(self) -> float:
        """Scores above it have a p-value of at most `fpr`; infinite where n is too small for that rate."""
        return threshold(self.trusted_scores, self.fpr)

    @property
    def chance(self) -> float:
        """Probability that clean inputs alone bring about at least as many flags."""
        if self.fdr is not None:
            return self.fdr if bool(self.flagged.any()) else 1.0
        return flags_by_chance(len(self.trusted_scores), len(self), self.fpr, int(self.flagged.sum()))

    @property
    def anomalies_found(self) -> bool:
        """Are more inputs flagged than the accepted rate explains?"""
        return bool(self.flagged.any()) and (self.fdr is not None or self.chance < CHANCE_LEVEL)

    def most_anomalous(self, count: int) -> list[int]:
        """Positions of so many inputs, most anomalous first."""
        positions: list[int] = self.scores.argsort(descending=True, stable=True)[:count].tolist()
        return positions

    def least_explained(self, position: int) -> list[tuple[str, float]]:
        """The layers in which an input is most unusual, and how much; only those that are more so than most."""
        values, order = self.by_layer[position].sort(descending=True)
        return [(self.layers[i], v) for i, v in zip(order.tolist(), values.tolist(), strict=True) if v > 0][:LAYERS]

    def to_table(self) -> pa.Table:
        """Columns id, prediction, score, p_value, flagged, vouchers (id, coupling) and layers (layer, how unusual)."""
        vouchers = [
            [{"id": self.trusted_ids[j], "coupling": c} for j, c in zip(positions, couplings, strict=True)]
            for positions, couplings in zip(
                self.voucher_positions.tolist(), self.voucher_couplings.tolist(), strict=True
            )
        ]
        voucher = pa.struct([("id", pa.string()), ("coupling", pa.float32())])
        layers = [
            [{"layer": name, "unusual": value} for name, value in self.least_explained(i)] for i in range(len(self))
        ]
        layer = pa.struct([("layer", pa.string()), ("unusual", pa.float32())])
        return pa.table(
            {
                "id": list(self.ids),
                "prediction": self.predictions.numpy(),
                "score": self.scores.numpy(),
                "p_value": self.p_values.numpy(),
                "flagged": self.flagged.numpy(),
                "vouchers": pa.array(vouchers, pa.list_(voucher)),
                "layers": pa.array(layers, pa.list_(layer)),
            }
        )
