"""Memory of the stages."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.facts import mib
from vrtspike.analysis.report import Report
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.palette import GREY, lighter
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key
from vrtspike.reporting.panels.stage_bars import BAR, rows_height, stage_rows

PEAK_WHITE = 0.6


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw the peak memory while each stage ran, and what its forward pass left allocated."""
    ax = body.add_subplot()
    names = measured_stages(runs)
    height = BAR / len(runs)
    for i, run in enumerate(runs):
        for row, name in enumerate(names):
            cost = run.report.stages.get(name)
            if cost and cost.memory_mib is not None:
                y, colour = row + (i + 0.5) * height - BAR / 2, run.stage_colour(name)
                ax.barh(y, cost.memory_mib, color=lighter(colour, PEAK_WHITE), height=height)
                ax.barh(y, max(cost.allocated_mib or 0.0, 0.0), color=colour, height=height / 2)
    stage_rows(ax, names)
    ax.set_xlabel('MiB')
    ax.xaxis.set_major_formatter('{x:,g}')
    left = area_key('left allocated by its forward pass', GREY)
    return [area_key('peak while it ran', lighter(GREY, PEAK_WHITE)), left]


def measured_stages(runs: Sequence[Run]) -> list[str]:
    """Return the stages whose memory was measured in any run, in the order they ran."""
    costs = [item for run in runs for item in run.report.stages.items()]
    return list(dict.fromkeys(name for name, cost in costs if cost.memory_mib is not None))


def sentence(report: Report) -> str:
    """Say where the peak is, and which stage's forward pass leaves most allocated."""
    peaks = {name: cost.memory_mib for name, cost in report.stages.items() if cost.memory_mib is not None}
    highest = max(peaks, key=peaks.get)
    equal = sum(peak == peaks[highest] for peak in peaks.values())
    where = fit_name(highest) if equal == 1 else f'{equal} stages alike'
    text = f'Peak {mib(peaks[highest])}, in {where}'
    left = {name: cost.allocated_mib for name, cost in report.stages.items() if cost.allocated_mib}
    if left:
        most = max(left, key=left.get)
        text += f'; the forward pass of {fit_name(most)} leaves most, {mib(left[most])}'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say how the peaks of the processes differ."""
    peaks = comparison.memory_mib
    text = f'The peaks of a process are {mib(peaks.first)} and {mib(peaks.second)}'
    return f'{text} (x{peaks.ratio:.2f}).' if peaks.ratio is not None else f'{text}.'


def has_memory(report: Report) -> bool:
    """Return whether the memory of a stage was measured."""
    return any(cost.memory_mib is not None for cost in report.stages.values())


PANEL = Panel('Memory', has_memory, draw, sentence, compared, lambda runs: rows_height(measured_stages(runs), runs))
