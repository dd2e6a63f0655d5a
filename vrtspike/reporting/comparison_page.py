"""The page of a comparison: one HTML file without scripts, fonts or pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from vrtspike.analysis.comparison import Comparison
from vrtspike.reporting.pages import render
from vrtspike.reporting.report_plots import Drawn
from vrtspike.reporting.terminal import comparison_table


def comparison_page(comparison: Comparison, panels: Sequence[Drawn]) -> str:
    """Return the page of a comparison with its panels."""
    return render(
        'comparison_page.html',
        title=' against '.join(comparison.runs),
        comparison=comparison,
        plots=panels,
        table=comparison_table(comparison),
    )
