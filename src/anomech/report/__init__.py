"""The report: verdicts as one HTML file that opens offline."""

from anomech.report.content import ReportContent
from anomech.report.headline import headline
from anomech.report.render import render

__all__ = ["ReportContent", "headline", "render"]
