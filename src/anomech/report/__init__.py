"""The report: verdicts as one HTML file that opens offline."""

from anomech.report.content import Dialogue, ReportContent
from anomech.report.headline import headline
from anomech.report.render import render
from anomech.report.tables import CARDS

__all__ = ["CARDS", "Dialogue", "ReportContent", "headline", "render"]
