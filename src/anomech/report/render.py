"""From content to one HTML file."""

from __future__ import annotations

from anomech.report import figures, tables
from anomech.report.content import ReportContent
from anomech.report.headline import answer, percent
from anomech.report.numbers import fixed, known, p_value_decimals
from anomech.report.page import page
from anomech.report.pictures import pixelated
from anomech.verdicts import Verdicts


def render(content: ReportContent) -> str:
    """One self-contained HTML page: it opens offline and loads nothing from anywhere."""
    verdicts = content.verdicts
    sentence, qualifier = answer(verdicts)
    return page(
        "template.html.jinja",
        content=content,
        sentence=sentence,
        qualifier=qualifier,
        key_figures=_key_figures(verdicts),
        cards=tables.cards(content),
        pixelated=pixelated(content.inputs.x),
        figures=_figures(content),
        health_facts=content.health and tables.health_facts(content.health),
        mechanisms=tables.mechanisms(content),
        known=known,
        measured_columns=tables.MEASURED,
        measured=tables.measured(content),
        table=tables.rows(content, tables.LARGEST_TABLE),
        smallest_p=fixed(1 / (len(verdicts.trusted_scores) + 1), p_value_decimals(len(verdicts.trusted_scores))),
        chance=_chance(verdicts),
        settings=content.settings,
        cost=tables.cost_facts(content.cost),
    )


def _key_figures(verdicts: Verdicts) -> list[tuple[str, str]]:
    by_fpr = verdicts.fdr is None
    return [
        ("Flagged", f"{int(verdicts.flagged.sum()):,} of {len(verdicts):,}"),
        ("False-positive rate" if by_fpr else "False-discovery rate", percent(verdicts.fdr or verdicts.fpr)),
        ("Trusted", f"{len(verdicts.trusted_scores):,}"),
    ]


def _figures(content: ReportContent) -> dict[str, figures.Figure]:
    """Each plot under the id of the element that it goes into."""
    verdicts, anomalous = content.verdicts, content.inputs.anomalous
    plots = {
        "score-plot": figures.score_histogram(verdicts, anomalous),
        "p-value-plot": figures.p_value_plot(verdicts, anomalous),
        **({"layer-plot": figures.layer_plot(verdicts)} if verdicts.layers else {}),
        **({"map-plot": figures.mechanism_map(content)} if content.mechanisms else {}),
    }
    return plots if content.health is None else {**plots, "chain-plot": figures.chain_plot(content.health)}


def _chance(verdicts: Verdicts) -> str | None:
    """Probability that clean inputs bring about as many flags; None where it is no figure of its own."""
    if verdicts.fdr is not None or not bool(verdicts.flagged.any()):
        return None
    return "less than 0.0001" if verdicts.chance < 1e-4 else fixed(verdicts.chance, 4)
