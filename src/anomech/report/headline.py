"""The answer of an audit, in words."""

from __future__ import annotations

import math

from anomech.functional.conformal import rank_at
from anomech.verdicts import Verdicts


def headline(verdicts: Verdicts) -> str:
    """The answer in one or two sentences.

    Example:
        >>> headline(verdicts)  # doctest: +SKIP
        'Nothing beyond chance: 14 of 1,900 inputs were flagged, about 19 are expected at a false-positive rate of 1 %.'
    """
    return " ".join(filter(None, answer(verdicts)))


def answer(verdicts: Verdicts) -> tuple[str, str]:
    """The answer and what qualifies it; the latter may be empty."""
    n, m, flagged = len(verdicts.trusted_scores), len(verdicts), int(verdicts.flagged.sum())
    rate = verdicts.fpr if verdicts.fdr is None else verdicts.fdr
    if rank_at(rate, n) == 0:
        return f"No input can be flagged at {_error_rate(verdicts)}.", _too_few_trusted(n, rate)
    inputs_were = f"{flagged:,} of {m:,} inputs {'was' if flagged == 1 else 'were'}"
    if verdicts.anomalies_found:
        return (
            f"{inputs_were} answered by a mechanism that the trusted examples do not explain.",
            f"Flagged at {_error_rate(verdicts)}, {_false_flags(verdicts, flagged)}.",
        )
    if flagged:
        expected = _chance_flags(verdicts)
        context = f"{_about(expected)} {_be(expected)} expected at {_error_rate(verdicts)}"
        return f"Nothing beyond chance: {inputs_were} flagged, {context}.", ""
    if verdicts.fdr is None:
        return f"No input was flagged at {_error_rate(verdicts)}, {_false_flags(verdicts, flagged)}.", ""
    return f"No input was flagged at {_error_rate(verdicts)}.", ""


def percent(rate: float) -> str:
    """A rate as it was set, such as "0.1 %"."""
    return f"{100 * rate:g} %"


def _error_rate(verdicts: Verdicts) -> str:
    """The error rate that decides what is flagged, such as "a false-positive rate of 1 %"."""
    if verdicts.fdr is None:
        return f"a false-positive rate of {percent(verdicts.fpr)}"
    return f"a false-discovery rate of {percent(verdicts.fdr)}"


def _false_flags(verdicts: Verdicts, flagged: int) -> str:
    if verdicts.fdr is None:
        return f"where chance alone would flag {_about(_chance_flags(verdicts))}"
    false = verdicts.fdr * flagged
    return f"where {_about(false)} of these {_be(false)} expected to be false"


def _chance_flags(verdicts: Verdicts) -> float:
    """Expected flags among clean inputs: `fpr * m`, less what the steps of 1 / (n + 1) between p-values take away."""
    n = len(verdicts.trusted_scores)
    return len(verdicts) * rank_at(verdicts.fpr, n) / (n + 1)


def _too_few_trusted(n: int, rate: float) -> str:
    return (
        f"With {n:,} trusted example{'s' * (n != 1)} no p-value can be below 1/{n + 1:,}; "
        f"at least {math.ceil(1 / rate - 1e-9) - 1:,} are needed."
    )


def _about(count: float) -> str:
    return "less than one" if round(count) < 1 else f"about {round(count):,}"


def _be(count: float) -> str:
    return "is" if round(count) <= 1 else "are"
