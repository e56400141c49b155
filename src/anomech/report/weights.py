"""From a comparison of two models to one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anomech.diffing.directions import SharpShare
from anomech.diffing.weights import WeightDifference
from anomech.report import weight_figures
from anomech.report.added import ShownFeature
from anomech.report.numbers import fixed
from anomech.report.page import page
from anomech.report.tables import LARGEST_TABLE


def render_difference(
    found: WeightDifference,
    sharp: SharpShare | None,
    *,
    added: Sequence[ShownFeature] = (),
    title: str,
    settings: Mapping[str, Any],
) -> str:
    """One self-contained HTML page, as `anomech.report.render` gives it.

    Args:
        found: What fine-tuning did to the weights.
        sharp: Where that lies in the curvature of the trusted loss; None if it was not asked for.
        added: Features of what it did to activations, if that was asked.
        title: What was compared.
        settings: How, nested and plain.
    """
    plots = {"norm-plot": weight_figures.profile(found.tensors)}
    if found.largest_rank:
        plots["rank-plot"] = weight_figures.rank_profile(found.tensors)
    if sharp is not None:
        plots["direction-plot"] = weight_figures.direction_plot(sharp)
    return page(
        "weights.html.jinja",
        title=title,
        found=found,
        sharp=sharp,
        added=added,
        qualifiers=[*filter(None, (found.details, sharp and sharp.sentence))],
        table=found.changed[:LARGEST_TABLE],
        fixed=fixed,
        figures=plots,
        settings=settings,
    )
