"""Where an anomaly sits, and what the model says without it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import torch
from torch import Tensor

from anomech.auditor import Auditor
from anomech.errors import SettingsError
from anomech.examples import Examples
from anomech.explain.asking import Asking
from anomech.explain.attribution import Attribution, Eraser
from anomech.explain.erasers import ImageEraser
from anomech.explain.occlusion import Occlusion
from anomech.explain.quantities import Anomaly
from anomech.functional.localization import energy_in_mask, top_places
from anomech.progress import Track, silent
from anomech.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """What is known of where k anomalies sit.

    Attributes:
        positions: Which of all inputs they are, int64 `[k]`.
        maps: How much each place adds to the anomaly, `[k, *places]`.
        hidden: The places that were hidden, those that add most, bool `[k, *places]`.
        neutralised: The inputs without them.
        verdicts: What the auditor says of these.
        concentration: Share of what adds to the anomaly that lies in these places, `[k]`.
        remaining: Share of the anomaly that is still there without them, `[k]`: 0 where the score is that of a median
            trusted example, 1 where it is as before.
        located: Whether so much lies there, and so little remains, that the anomaly has a place, bool `[k]`; else it
            is spread out.
        erased: Whether more and other places were hidden than those that add most, since these were not enough for
            trusted examples to vouch for what is left, bool `[k]`; `hidden`, `neutralised` and `verdicts` are of these.
        share: Share of the places that was hidden of the others.
        passes: Forward passes that an explanation took, at most.
    """

    positions: Tensor
    maps: Tensor
    hidden: Tensor
    neutralised: Examples
    verdicts: Verdicts
    concentration: Tensor
    remaining: Tensor
    located: Tensor
    erased: Tensor
    share: float
    passes: float

    def __len__(self) -> int:
        return len(self.positions)

    def columns(self, number: int) -> dict[str, pa.Array]:
        """Columns of a table of all `number` inputs, null for those without an explanation.

        `box` is the smallest that holds the place: of images top, left, bottom and right, the last two beyond it; of
        texts the first token and the one beyond the last.
        """
        found = {
            "located": self.located.tolist(),
            "remaining": self.remaining.tolist(),
            "box": [
                _box(hidden) if located else None for hidden, located in zip(self.hidden, self.located, strict=True)
            ],
            "neutralised_prediction": self.verdicts.predictions.tolist(),
            "neutralised_p_value": self.verdicts.p_values.tolist(),
        }
        types = (pa.bool_(), pa.float32(), pa.list_(pa.int32()), pa.int64(), pa.float32())
        filled = {}
        for (name, values), kind in zip(found.items(), types, strict=True):
            column = [None] * number
            for position, value in zip(self.positions.tolist(), values, strict=True):
                column[position] = value
            filled[name] = pa.array(column, kind)
        return filled

    def of(self, position: int) -> int | None:
        """Where the explanation of the input at that position stands among these, if there is one."""
        found = (self.positions == position).nonzero().flatten()
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """Settings of explanations. The defaults were chosen on development data.

    Attributes:
        attribution: How the anomaly is shared out among the places.
        eraser: What is put in the place of those that add most.
        ask: Puts what a language model answers to altered prompts in the place of their completions.
        share: Share of the places that is hidden, of those that can be.
        fewest: Places that are hidden at least.
        least: Share of what adds to the anomaly that lies in these places if it has a place.
        most: Share of the anomaly that remains without them, at most, if it has a place.
    """

    attribution: Attribution = field(default_factory=Occlusion)
    eraser: Eraser = field(default_factory=ImageEraser)
    ask: Asking | None = None
    share: float = 0.04
    fewest: int = 1
    least: float = 0.3
    most: float = 0.25

    def __post_init__(self) -> None:
        for name in ("share", "least", "most"):
            if not 0 < getattr(self, name) < 1:
                raise SettingsError(f"{name} must lie between 0 and 1, got {getattr(self, name):g}.")

    def passes(self, auditor: Auditor, shape: torch.Size) -> float:
        """Forward passes that explaining an input of that shape `[...]` takes, the neutralised one's included."""
        anomaly = Anomaly(auditor, self.ask)
        return self.attribution.passes(anomaly, shape) + anomaly.passes

    def explain(
        self, auditor: Auditor, inputs: Examples, verdicts: Verdicts, positions: Tensor, *, track: Track = silent
    ) -> Explanations:
        """Find what each of some inputs owes its anomaly to, take it away, and audit what is left.

        Args:
            auditor: Fitted; its detector scores each input by itself.
            inputs: What it judged.
            verdicts: What it said.
            positions: Which of the inputs, int64 `[k]`, at least one.
            track: How progress is reported.

        Raises:
            DataError: An input has no place that could be hidden.
            SettingsError: The attribution goes with neither the detector nor the inputs.
        """
        chosen = inputs[positions]
        erasable = self.eraser.erasable(chosen.x)
        maps = self.attribution.attribute(Anomaly(auditor, self.ask), chosen.x, track=track) * erasable
        hidden = top_places(maps, self.share, among=erasable, fewest=self.fewest)
        erased = self.eraser.erase(chosen.x, hidden)
        neutralised = Examples(x=erased if self.ask is None else self.ask(erased), ids=chosen.ids)
        without = auditor.audit(neutralised)
        concentration = energy_in_mask(maps, hidden)
        remaining = _remaining(verdicts.scores[positions], without.scores, verdicts.trusted_scores.median())
        return Explanations(
            positions=positions,
            maps=maps,
            hidden=hidden,
            neutralised=neutralised,
            verdicts=without,
            concentration=concentration,
            remaining=remaining,
            located=(concentration >= self.least) & (remaining <= self.most),
            erased=torch.zeros(len(positions), dtype=torch.bool),
            share=self.share,
            passes=self.passes(auditor, chosen.x.shape[1:]),
        )


def _box(hidden: Tensor) -> list[int]:
    places = hidden.nonzero()
    return [*places.amin(dim=0).tolist(), *(places.amax(dim=0) + 1).tolist()]


def _remaining(before: Tensor, after: Tensor, usual: Tensor) -> Tensor:
    excess = (before - usual).clamp_min(torch.finfo(before.dtype).tiny)
    return ((after - usual) / excess).clamp(0, 1)
