"""The own work of every rank."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.reporting.formatting import number
from vrtspike.reporting.palette import ALERT
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key, plain_numbers


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw the milliseconds per iteration that every rank needs for its own work; mark the slowest."""
    ax = body.add_subplot()
    width = 0.8 / len(runs)
    for i, run in enumerate(runs):
        found = run.report.ranks
        ranks = [int(rank) for rank in found.own_ms]
        positions = [rank + (i + 0.5) * width - 0.4 for rank in ranks]
        colours = [ALERT if rank == found.slowest else run.colour for rank in ranks]
        ax.bar(positions, list(found.own_ms.values()), width=width, color=colours)
    ax.set_xlabel('rank')
    ax.set_ylabel('ms per iteration, without waiting')
    ax.grid(axis='y')
    plain_numbers(ax, 'x', bins=10, integer=True)
    plain_numbers(ax, 'y', bins=5)
    return [area_key('slowest rank', ALERT)]


def sentence(report: Report) -> str:
    """Say which rank works longest, and by how much."""
    found = report.ranks
    text = f'Rank {found.slowest} works longest, {number(found.own_ms[str(found.slowest)])} ms per iteration'
    if found.slowest_to_others is not None:
        text += f', {found.slowest_to_others:.2f} times the mean of the others'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say how much longer the slowest rank works than the others, in both runs."""
    ratios = [report.ranks.slowest_to_others for report in (first, second)]
    if None in ratios:
        return f'{sentence(first)} {sentence(second)}'
    return 'The slowest rank works {:.2f} and {:.2f} times as long as the others.'.format(*ratios)


PANEL = Panel('Ranks', lambda report: report.ranks is not None, draw, sentence, compared)
