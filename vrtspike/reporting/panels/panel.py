"""What a panel is, and what panels share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.reporting.palette import GREY, OTHER_STAGES

Body = Figure | SubFigure
#: Height of a panel that does not grow with its content, in inches.
HEIGHT = 3.3
#: Curves with more points than these are drawn without markers.
MAX_MARKERS = 40


@dataclass(frozen=True)
class Run:
    """A run in a picture.

    Args:
        report: Its report.
        colour: Of its curves.
        stages: Colours of stages. None in a comparison, where all have the run's colour.
    """

    report: Report
    colour: str
    stages: Mapping[str, str] | None = None

    def stage_colour(self, stage: str) -> str:
        """Return the colour of a stage."""
        return self.colour if self.stages is None else self.stages.get(stage, OTHER_STAGES)


def fixed_height(runs: Sequence[Run]) -> float:
    """Return the height of a panel that does not grow with its content, in inches."""
    return HEIGHT


class Panel(NamedTuple):
    """One plot of a picture.

    Args:
        title: Its title.
        has_data: Whether a report has what it shows.
        draw: Draws the runs that have data, and returns the keys of its legend.
        sentence: What is seen in the panel of one run.
        compared: What is seen in the panel of two runs that both have data.
        height: In inches.
    """

    title: str
    has_data: Callable[[Report], bool]
    draw: Callable[[Body, Sequence[Run]], list[Artist]]
    sentence: Callable[[Report], str]
    compared: Callable[[Comparison, Report, Report], str]
    height: Callable[[Sequence[Run]], float] = fixed_height


def over_iterations(ax: Axes, runs: Sequence[Run]) -> None:
    """Let the horizontal axis show all iterations of the runs, so that panels can be read side by side."""
    ends = [end for run in runs for curve in run.report.curves.values() for end in curve.iterations]
    low, high = min(ends), max(ends)
    margin = 0.02 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)
    ax.set_xlabel('iteration')
    plain_numbers(ax, 'x', bins=6, integer=True)


def plain_numbers(ax: Axes, axis: str, bins: int, integer: bool = False) -> None:
    """Write the numbers of an axis with commas and without an offset."""
    scale = getattr(ax, f'{axis}axis')
    scale.set_major_locator(MaxNLocator(bins, integer=integer, steps=[1, 2, 2.5, 5, 10] if not integer else None))
    if integer:
        scale.set_major_formatter(StrMethodFormatter('{x:,.0f}'))


def log_scale(ax: Axes, axis: str) -> None:
    """Use a logarithmic scale with plain numbers at 1, 2 and 5, or at 1 alone if the axis is long."""
    ax.set(**{f'{axis}scale': 'log'})
    scale = getattr(ax, f'{axis}axis')
    low, high = scale.get_view_interval()
    scale.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e3 * low else (1,)))
    scale.set_major_formatter('{x:g}')
    scale.set_minor_formatter(NullFormatter())


def line_key(label: str, **style) -> Line2D:
    """Return a key of a legend: a line or a marker, grey unless its style has a colour."""
    return Line2D([], [], label=label, **{'color': GREY, 'linewidth': 1.5, **style})


def area_key(label: str, colour: str) -> Patch:
    """Return a key of a legend: an area."""
    return Patch(facecolor=colour, label=label)
