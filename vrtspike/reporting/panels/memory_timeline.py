"""What holds the memory over an iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.facts import mib
from vrtspike.analysis.report import Report
from vrtspike.records.memory import KINDS, MemoryLine
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.palette import INK, OTHER_STAGES
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key

KEPT_COLOURS = {
    'parameters': '#5b6470',
    'optimizer': '#737c88',
    'gradients': '#8a93a0',
    'batch': '#a9b1bb',
    'before': '#c8ced6',
}
TEMPORARY_COLOUR = '#eceef1'
NAMED_FROM = 0.04
"""Smallest height of a named layer, as a share of the peak."""
LIGHT_FROM = 1.45
"""Smallest sum of red, green and blue of a colour that is written on in black."""
PHASE_STARTS = ('backward', 'optimizer')


class Layer(NamedTuple):
    """What one holder has over time."""

    name: str
    mib: list[float]
    colour: str


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw the memory of tensors over an iteration by what holds it, each run in a plot of its own."""
    plots = body.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    for ax, run in zip(plots, runs, strict=True):
        _draw_timeline(ax, run.report.explained_memory, run.stage_colour)
        ax.label_outer()
    highest = max(run.report.explained_memory.peak_mib for run in runs)
    plots[0].set_ylim(0, 1.12 * highest)
    plots[0].set_ylabel('MiB')
    plots[0].yaxis.set_major_formatter('{x:,g}')
    stays = area_key('stays', KEPT_COLOURS['gradients'])
    return [stays, area_key('saved by a stage', OTHER_STAGES), area_key('other tensors', TEMPORARY_COLOUR)]


def _draw_timeline(ax: Axes, line: MemoryLine, stage_colour: Callable[[str], str]) -> None:
    """Draw one iteration: at the bottom what stays, then the saved activations by stage, at the top the rest.

    A dotted line marks the allocator's peak.
    """
    ms = line.timeline.ms
    layers = layers_of(line, stage_colour)
    colours = [each.colour for each in layers]
    ax.stackplot(ms, [each.mib for each in layers], colors=colours, edgecolor='white', linewidth=0.3)
    ax.axhline(line.peak_mib, color=INK, linewidth=1, linestyle=':')
    below = [0.0] * len(ms)
    for layer in layers[:-1]:
        _name_layer(ax, layer, ms, below, line.peak_mib)
        below = [low + high for low, high in zip(below, layer.mib, strict=True)]
    _mark_phases(ax, line)
    ax.set_xlim(ms[0], ms[-1])
    ax.locator_params(axis='x', nbins=5)
    ax.set_xlabel(f'ms of iteration {line.iteration:,}, slowed by watching; dotted: peak')


def layers_of(line: MemoryLine, stage_colour: Callable[[str], str]) -> list[Layer]:
    """Return the layers of a timeline from the bottom up; the last one is that of temporary tensors of all stages."""
    mib = line.timeline.mib
    kept = [Layer(kind, mib[kind], colour) for kind, colour in KEPT_COLOURS.items() if any(mib.get(kind, ()))]
    saved = {name.removeprefix('saved/'): values for name, values in mib.items() if name.startswith('saved/')}
    others = [values for name, values in mib.items() if name.startswith('temporary/')]
    temporary = [sum(values) for values in zip(*others, strict=True)] or [0.0] * len(line.timeline.ms)
    return [
        *kept,
        *(Layer(name, values, stage_colour(name)) for name, values in saved.items()),
        Layer('other', temporary, TEMPORARY_COLOUR),
    ]


def _name_layer(ax: Axes, layer: Layer, ms: list[float], below: list[float], peak: float) -> None:
    """Write the name of a layer into it, where it is highest, if there is room."""
    highest = max(layer.mib)
    if highest < NAMED_FROM * peak:
        return
    moments = [i for i, mib in enumerate(layer.mib) if mib > 0.9 * highest]
    i = moments[len(moments) // 2]
    light = sum(to_rgb(layer.colour)) > LIGHT_FROM
    place = ms[i], below[i] + layer.mib[i] / 2
    ax.text(*place, fit_name(layer.name), fontsize=7, color=INK if light else 'white', ha='center', va='center')


def _mark_phases(ax: Axes, line: MemoryLine) -> None:
    """Draw a line where the backward pass and the optimizer step begin."""
    ms = line.timeline.ms
    for word in PHASE_STARTS:
        start = next((ms[i] for i, running in enumerate(line.timeline.running) if word in running), None)
        if start is None:
            continue
        ax.axvline(start, color=INK, linewidth=0.8)
        at_end = start > ms[0] + 0.8 * (ms[-1] - ms[0])
        place = {'xytext': (-3, 0), 'ha': 'right'} if at_end else {'xytext': (3, 0)}
        ax.annotate(word, (start, 1.1 * line.peak_mib), textcoords='offset points', fontsize=8, va='top', **place)


def sentence(report: Report) -> str:
    """Say where the peak is and what holds most of it."""
    line = report.explained_memory
    largest = max(line.holdings, key=lambda each: each.mib)
    share = f'{largest.mib / line.peak_mib:.0%}'.replace('%', ' %')
    stage = f' of {fit_name(largest.stage)}' if largest.stage else ''
    part = f'{KINDS[largest.kind]}{stage}, {share}'
    return f'Peak {mib(line.peak_mib)}, in {fit_name(line.peak_in)}; the largest part: {part}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say where the peaks of both runs are."""
    return f'{sentence(first)} {sentence(second)}'


PANEL = Panel('Memory over an iteration', lambda report: report.explained_memory is not None, draw, sentence, compared)
