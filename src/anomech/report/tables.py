"""Rows of the report's cards and tables, every number as it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anomech.io.conversations import Conversation
from anomech.report.content import Dialogue, ReportContent
from anomech.report.numbers import MISSING, fixed, known, p_value_decimals, score_decimals
from anomech.report.pictures import data_uri, pictured
from anomech.report.places import Place, place
from anomech.report.profiles import Profile, profile
from anomech.report.prompts import Asked, asked
from anomech.sampling.health import ChainHealth

CARDS = 8
LARGEST_TABLE = 500
COUPLING_DECIMALS = 2
MEASURED = (
    "AUROC (95\u00a0% interval)",
    "AUROC, filtered",
    "TPR at 1\u00a0%\u00a0FPR",
    "realised FPR",
    "TPR at 5\u00a0%\u00a0FPR",
    "realised FPR",
    "DER",
    "DER, post hoc",
    "ASR",
    "Accuracy",
    "Seconds",
    "Forward passes per input",
)


@dataclass(frozen=True)
class Voucher:
    """A trusted example and how strongly it is coupled to an input."""

    id: str
    coupling: str
    label: str | None
    picture: str | None
    conversation: Conversation | None


@dataclass(frozen=True)
class Token:
    """A token that is coloured.

    Attributes:
        text: What it adds to the text.
        value: What its colour stands for; empty where there is none.
        share: How much of the strongest colour it is shown in, in percent.
    """

    text: str
    value: str
    share: int


@dataclass(frozen=True)
class Row:
    """The verdict on one input; numbers as they are shown, and under `sort_` names as the table sorts them."""

    position: int
    id: str
    prediction: str
    score: str
    p_value: str
    flagged: bool
    voucher: str
    coupling: str
    sort_score: float
    sort_p_value: float
    sort_coupling: float


@dataclass(frozen=True)
class Card:
    """A verdict with its picture or text and the trusted examples that come closest."""

    row: Row
    picture: str | None
    conversation: Conversation | None
    tokens: list[Token]
    vouchers: list[Voucher]
    layers: list[tuple[str, str]]
    """Where the input is least explained, and how unusual it is there."""
    profile: Profile | None
    place: Place | None
    asked: Asked | None


@dataclass(frozen=True)
class Mechanism:
    """A cluster of inputs.

    Attributes:
        number: As the map calls it.
        size: Inputs in it.
        flagged: Share of them that are flagged.
        answer: What the model answers to most of them.
        share: Share of them that are answered so.
        typical: The most typical ones, by prompt or name.
    """

    number: int
    size: int
    flagged: float
    answer: str
    share: float
    typical: list[str]


def rows(content: ReportContent, count: int) -> list[Row]:
    """The `count` most anomalous inputs, most anomalous first."""
    verdicts = content.verdicts
    scores, p_values = verdicts.scores.tolist(), verdicts.p_values.tolist()
    strongest, couplings = verdicts.voucher_positions[:, 0].tolist(), verdicts.voucher_couplings[:, 0].tolist()
    decimals, p_decimals = score_decimals(verdicts.scores), p_value_decimals(len(verdicts.trusted_scores))
    return [
        Row(
            position=i,
            id=verdicts.ids[i],
            prediction=content.answer(i),
            score=fixed(scores[i], decimals),
            p_value=fixed(p_values[i], p_decimals),
            flagged=bool(verdicts.flagged[i]),
            voucher=verdicts.trusted_ids[strongest[i]],
            coupling=fixed(couplings[i], COUPLING_DECIMALS),
            sort_score=scores[i],
            sort_p_value=p_values[i],
            sort_coupling=couplings[i],
        )
        for i in verdicts.most_anomalous(count)
    ]


def cards(content: ReportContent) -> list[Card]:
    """The most anomalous inputs beside the trusted examples that come closest."""
    x, dialogue = content.inputs.x, content.dialogue
    return [
        Card(
            row=row,
            picture=data_uri(x[row.position]) if pictured(x) else None,
            conversation=None if dialogue is None else dialogue.inputs[row.position],
            tokens=[] if dialogue is None else _tokens(content, dialogue, row.position),
            vouchers=list(_vouchers(content, row.position)),
            layers=[(name, fixed(value, 1)) for name, value in content.verdicts.least_explained(row.position)],
            profile=_profile(content, row.position),
            place=place(content, row.position),
            asked=asked(content, row.position),
        )
        for row in rows(content, max(CARDS, len(content.explanations or ())))
    ]


def mechanisms(content: ReportContent) -> list[Mechanism]:
    """The clusters of the inputs, those with the largest flagged share first."""
    found, verdicts = content.mechanisms, content.verdicts
    if found is None:
        return []
    rows = []
    for cluster, typical in enumerate(found.typical):
        members = found.positions[found.clusters == cluster]
        (answer, count), *_ = Counter(map(content.answer, members.tolist())).most_common(1)
        rows.append(
            Mechanism(
                number=cluster + 1,
                size=len(members),
                flagged=float(verdicts.flagged[members].double().mean()),
                answer=answer,
                share=count / len(members),
                typical=[content.asked(position) for position in typical],
            )
        )
    return sorted(rows, key=lambda row: -row.flagged)


def measured(content: ReportContent) -> list[tuple[str, list[str]]]:
    """Each detector's name and its figures in the order of `MEASURED`."""
    own = [] if content.metrics is None else [("This audit", _measured(content.metrics))]
    return own + [(str(baseline["detector"]), _measured(baseline)) for baseline in content.baselines]


def health_facts(health: ChainHealth) -> list[tuple[str, str]]:
    """Name and value of what tells whether the chains did their work."""
    return [
        ("Chains × draws", f"{health.chains} × {health.draws}"),
        ("Effective draws", fixed(health.effective_draws, 0)),
        ("R-hat", fixed(health.r_hat, 3)),
        ("Mean loss, trained weights", f"{health.start_loss:.3g}"),
        ("Mean loss, sampled models", f"{health.mean_loss:.3g}"),
        ("Drift", f"{health.mean_loss - health.start_loss:+.3g}".replace("-", "−")),
    ]


def cost_facts(cost: Mapping[str, float]) -> list[str]:
    """What the audit cost, as far as it is known."""
    wanted = (
        ("seconds", 1, " s"),
        ("forward_equivalents", 0, " forward passes per input"),
        ("peak_memory_mb", 0, " MB at most"),
    )
    return [known(cost[name], decimals, unit=unit) for name, decimals, unit in wanted if name in cost]


def _profile(content: ReportContent, position: int) -> Profile | None:
    """How unusual the input is in each layer, and how much so without what its anomaly rests on."""
    verdicts, found = content.verdicts, content.explanations
    if len(verdicts.layers) < 2:
        return None
    i = None if found is None else found.of(position)
    after = None if found is None or i is None else found.verdicts.by_layer[i].tolist()
    return profile(verdicts.layers, verdicts.by_layer[position].tolist(), after)


def _vouchers(content: ReportContent, position: int) -> Iterator[Voucher]:
    trusted, verdicts = content.trusted, content.verdicts
    for j, coupling in zip(
        verdicts.voucher_positions[position].tolist(), verdicts.voucher_couplings[position].tolist(), strict=True
    ):
        yield Voucher(
            id=verdicts.trusted_ids[j],
            coupling=fixed(coupling, COUPLING_DECIMALS),
            label=None if trusted.y is None else content.class_name(int(trusted.y[j])),
            picture=data_uri(trusted.x[j]) if pictured(trusted.x) else None,
            conversation=None if content.dialogue is None else content.dialogue.trusted[j],
        )


def _tokens(content: ReportContent, dialogue: Dialogue, position: int) -> list[Token]:
    """Tokens of a completion; none is coloured at the median trusted score, most at the highest score of a token."""
    pieces, scores = dialogue.inputs[position].pieces, dialogue.token_scores.get(position)
    if scores is None:
        return [Token(piece, "", 0) for piece in pieces]
    usual = float(content.verdicts.trusted_scores.median())
    most = max(max(values) for values in dialogue.token_scores.values())
    decimals = score_decimals(content.verdicts.scores)
    shares = (max(0.0, value - usual) / max(most - usual, 1e-9) for value in scores)
    return [
        Token(piece, fixed(value, decimals), round(100 * share))
        for piece, value, share in zip(pieces, scores, shares, strict=True)
    ]


def _measured(figures: Mapping[str, Any]) -> list[str]:
    def rate(name: str) -> str:
        return known(figures.get(name), 1, scale=100, unit=" %")

    auroc, low, high = (known(figures.get(name), 3) for name in ("auroc", "auroc_low", "auroc_high"))
    return [
        auroc if MISSING in (low, high) else f"{auroc} ({low}–{high})",
        known(figures.get("auroc_filtered"), 3),
        rate("tpr_at_fpr_1"),
        rate("realised_fpr_1"),
        rate("tpr_at_fpr_5"),
        rate("realised_fpr_5"),
        known(figures.get("der"), 3),
        known(figures.get("der_posthoc"), 3),
        rate("asr"),
        rate("accuracy"),
        known(figures.get("seconds"), 1),
        known(figures.get("forward_equivalents"), 0),
    ]
