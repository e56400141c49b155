"""What every HTML report is made by: one file that opens offline and loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs


def page(template: str, *, figures: Mapping[str, Any], settings: Mapping[str, Any], **content: Any) -> str:
    """A self-contained page.

    Args:
        template: File of this package.
        figures: Each plot under the id of the element that it goes into.
        settings: How the content came about, nested and plain.
        content: What else the template shows; it is escaped.
    """
    loader = PackageLoader("anomech.report", ".")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(
        **content,
        figures=figures,
        settings=json.dumps(settings, indent=2, ensure_ascii=False),
        # Trusted as it is: part of an installed package, not of what is audited.
        plotly_js=Markup(get_plotlyjs()),
    )
