"""Where the anomaly of an input sits, as a card shows it."""

from __future__ import annotations

from dataclasses import dataclass

from anomech.explain.explanations import Explanations
from anomech.report.content import ReportContent
from anomech.report.headline import percent
from anomech.report.numbers import fixed, p_value_decimals
from anomech.report.pictures import data_uri, heat_uri

VOUCHERS = 3


@dataclass(frozen=True)
class Place:
    """Where an anomaly sits.

    Attributes:
        heat: The picture, the redder the more a pixel adds to the anomaly.
        neutralised: The picture without the pixels that add most.
        told: What became of the answer.
        vouchers: Name and picture of the trusted examples that come closest to that; none where the anomaly is spread
            out and no more was erased.
    """

    heat: str
    neutralised: str
    told: str
    vouchers: list[tuple[str, str]]


def place(content: ReportContent, position: int) -> Place | None:
    """Where the anomaly of the image at that position sits, if that was asked."""
    found = content.explanations
    i = None if found is None else found.of(position)
    if found is None or i is None or content.dialogue is not None:
        return None
    return Place(
        heat=heat_uri(content.inputs.x[position], found.maps[i]),
        neutralised=data_uri(found.neutralised.x[i]),
        told=_told(content, found, i, position),
        vouchers=_vouchers(content, found, i) if found.located[i] or found.erased[i] else [],
    )


def _vouchers(content: ReportContent, found: Explanations, i: int) -> list[tuple[str, str]]:
    nearest = found.verdicts.voucher_positions[i, :VOUCHERS].tolist()
    return [(content.verdicts.trusted_ids[j], data_uri(content.trusted.x[j])) for j in nearest]


def _told(content: ReportContent, found: Explanations, i: int, position: int) -> str:
    spread = "" if found.located[i] else _spread_out(found, i)
    if spread and not found.erased[i]:
        return spread
    before, after = int(content.verdicts.predictions[position]), int(found.verdicts.predictions[i])
    which = f"{100 * float(found.hidden[i].double().mean()):.0f} % of the" if found.erased[i] else "these"
    says = f"Without {which} pixels the model {'still ' * (before == after)}says {content.class_name(after)}"
    return f"{spread} {says}, and {vouched(content, found, i)}.".strip()


def _spread_out(found: Explanations, i: int) -> str:
    stays = f"{100 * float(found.remaining[i]):.0f} %"
    return (
        f"Spread out: no few pixels carry it; without the {percent(found.share)} that add most, {stays} of the anomaly "
        "stays."
    )


def vouched(content: ReportContent, found: Explanations, i: int) -> str:
    """Whether trusted examples speak for what the model says to the i-th explained input without its place."""
    p = float(found.verdicts.p_values[i])
    shown = fixed(p, p_value_decimals(len(content.verdicts.trusted_scores)))
    explained = "trusted examples vouch for it" if p > content.verdicts.fpr else "no trusted example vouches for it"
    return f"{explained} (p\u00a0=\u00a0{shown})"
