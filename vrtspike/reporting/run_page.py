"""The page of a run's report: one HTML file without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from vrtspike.analysis.report import Report
from vrtspike.reporting.analysis_tables import report_tables
from vrtspike.reporting.pages import render
from vrtspike.reporting.report_plots import panels_of
from vrtspike.reporting.report_summary import headline, no_findings, summary


def run_page(report: Report) -> str:
    """Return the page of a report."""
    return render(
        'run_page.html',
        title=report.name,
        headline=headline(report),
        summary=summary(report),
        findings=report.findings,
        no_findings=no_findings(report),
        plots=panels_of(report),
        tables=report_tables(report),
        warnings=report.warnings,
    )
