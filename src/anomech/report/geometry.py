"""From the geometry of a model's gradients to one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from anomech.diffing.directions import SharpShare
from anomech.explain.geometry import Geometry
from anomech.explain.weight_directions import WeightDirections
from anomech.report import geometry_figures, weight_figures
from anomech.report.numbers import known


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
    loader = PackageLoader("anomech.report", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    plots = {
        "energy-plot": geometry_figures.energy_plot(found),
        "spectrum-plot": geometry_figures.spectrum(found),
        "alignment-plot": geometry_figures.alignment_plot(found),
    }
    if difference is not None:
        plots["direction-plot"] = weight_figures.direction_plot(difference)
    if carried is not None:
        plots["carrier-plot"] = geometry_figures.carrier_plot(carried)
    return environment.get_template("geometry.html.jinja").render(
        title=title,
        found=found,
        difference=difference,
        carried=carried,
        qualifiers=[*filter(None, (carried and carried.sentence, difference and difference.sentence))],
        known=known,
        figures=plots,
        settings=json.dumps(settings, indent=2, ensure_ascii=False),
        # Trusted as it is: part of an installed package, not of the model.
        plotly_js=Markup(get_plotlyjs()),
    )
