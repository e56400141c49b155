"""From the geometry of a model's gradients to one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomech.diffing.directions import SharpShare
from anomech.explain.geometry import Geometry
from anomech.explain.weight_directions import WeightDirections
from anomech.report import geometry_figures, weight_figures
from anomech.report.numbers import known
from anomech.report.page import page


def render_geometry(
    found: Geometry,
    difference: SharpShare | None,
    carried: WeightDirections | None,
    *,
    title: str,
    settings: Mapping[str, Any],
) -> str:
    """One self-contained HTML page, as `anomech.report.render` gives it.

    Args:
        found: Where gradients lie.
        difference: Where the weights' difference from a base model lies; None if there is none.
        carried: Which directions of the weights carry the anomalies; None if they are too few.
        title: Of what.
        settings: How, nested and plain.
    """
    plots = {
        "energy-plot": geometry_figures.energy_plot(found),
        "spectrum-plot": geometry_figures.spectrum(found),
        "alignment-plot": geometry_figures.alignment_plot(found),
    }
    if difference is not None:
        plots["direction-plot"] = weight_figures.direction_plot(difference)
    if carried is not None:
        plots["carrier-plot"] = geometry_figures.carrier_plot(carried)
    return page(
        "geometry.html.jinja",
        title=title,
        found=found,
        difference=difference,
        carried=carried,
        qualifiers=[*filter(None, (carried and carried.sentence, difference and difference.sentence))],
        known=known,
        figures=plots,
        settings=settings,
    )
