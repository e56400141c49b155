"""The reports: verdicts, a comparison of two models, or the geometry of one, as one HTML file that opens offline."""

from anomech.report.content import Dialogue, MarkedPrompt, ReportContent
from anomech.report.geometry import render_geometry
from anomech.report.headline import headline
from anomech.report.pictures import pictured
from anomech.report.render import render
from anomech.report.tables import CARDS
from anomech.report.weights import render_difference

__all__ = [
    "CARDS",
    "Dialogue",
    "MarkedPrompt",
    "ReportContent",
    "headline",
    "pictured",
    "render",
    "render_difference",
    "render_geometry",
]
