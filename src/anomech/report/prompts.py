"""Which tokens of a prompt make it anomalous, as a card shows it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from anomech.report.content import MarkedPrompt, ReportContent
from anomech.report.numbers import fixed
from anomech.report.places import vouched

DECIMALS = 2


@dataclass(frozen=True)
class PromptToken:
    """A token of a prompt.

    Attributes:
        text: What it adds to the text.
        value: How much it adds to the anomaly.
        share: How much of the strongest colour it is shown in, in percent.
        hidden: Whether it was left out when the model was asked again.
    """

    text: str
    value: str
    share: int
    hidden: bool


@dataclass(frozen=True)
class Asked:
    """An explained prompt.

    Attributes:
        tokens: Its tokens.
        told: What the model says without those that were left out.
    """

    tokens: list[PromptToken]
    told: str


def asked(content: ReportContent, position: int) -> Asked | None:
    """The prompt at that position with what its tokens add to the anomaly, if that was asked."""
    marked = None if content.dialogue is None else content.dialogue.marked.get(position)
    if marked is None:
        return None
    strongest = max(max(marked.values), 0) or 1
    return Asked(
        tokens=[
            PromptToken(piece, fixed(value, DECIMALS), round(100 * max(value, 0) / strongest), hidden)
            for piece, value, hidden in zip(marked.pieces, marked.values, marked.hidden, strict=True)
        ],
        told=_told(content, marked, position),
    )


def _told(content: ReportContent, marked: MarkedPrompt, position: int) -> str:
    found = content.explanations
    i = None if found is None else found.of(position)
    assert found is not None
    assert i is not None
    without = f"Without {', '.join(left_out(marked))} the model"
    if not found.located[i]:
        stays = f"{100 * float(found.remaining[i]):.0f}\u00a0%"
        return f"Spread out: no few tokens carry it. {without} says “{marked.answer}”; {stays} of the anomaly stays."
    still = "still " * marked.unchanged
    return f"{without} {still}says “{marked.answer}”, and {vouched(content, found, i)}."


def left_out(marked: MarkedPrompt) -> list[str]:
    """What was left out, in quotes, tokens that follow one another as one."""
    runs = groupby(zip(marked.pieces, marked.hidden, strict=True), key=lambda one: one[1])
    return [f"«{''.join(piece for piece, _ in run).strip()}»" for hidden, run in runs if hidden]
