"""The plot of what holds the memory over an iteration."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from vrtspike.records.memory import MemoryLine
from vrtspike.reporting.figures import INK

KEPT_COLOURS = {
    'parameters': '#5b6470',
    'optimizer': '#8a93a0',
    'gradients': '#a9b1bb',
    'batch': '#c8ced6',
    'before': '#e2e6ea',
}
TEMPORARY_COLOUR = '#D55E00'
SAVED_COLOURS = 'viridis'
"""Matplotlib's colour map for the saved activations, from the first stage to the last."""
NAMED_FROM = 0.04
"""Smallest height of a named layer, as a share of the peak."""
LIGHT_FROM = 1.6
"""Smallest sum of red, green and blue of a colour that is written on in black."""
PHASE_STARTS = ('backward', 'optimizer')


class Layer(NamedTuple):
    """What one holder has over time."""

    name: str
    mib: list[float]
    colour: object


def draw_memory_timeline(ax: Axes, line: MemoryLine) -> None:
    """Draw the memory of tensors over the iteration, by what holds it: at the bottom what stays, then the saved
    activations by stage, at the top the rest. A dotted line marks the allocator's peak.
    """
    ms = line.timeline.ms
    layers = layers_of(line)
    ax.stackplot(ms, [each.mib for each in layers], colors=[each.colour for each in layers], linewidth=0)
    ax.axhline(line.peak_mib, color=INK, linewidth=1, linestyle=':')
    below = [0.0] * len(ms)
    for layer in layers[:-1]:
        _name_layer(ax, layer, ms, below, line.peak_mib)
        below = [low + high for low, high in zip(below, layer.mib, strict=True)]
    for label, colour in (
        ('stays', KEPT_COLOURS['optimizer']),
        ('saved', colormaps[SAVED_COLOURS](0.5)),
        ('other', TEMPORARY_COLOUR),
    ):
        ax.fill_between([], [], color=colour, label=label)
    _mark_phases(ax, line)
    ax.set_xlim(ms[0], ms[-1])
    ax.set_ylim(0, 1.12 * line.peak_mib)
    ax.set_xlabel(f'ms of iteration {line.iteration}, slowed by watching; dotted: peak of {line.peak_mib:,.0f} MiB')
    ax.set_ylabel('MiB')


def layers_of(line: MemoryLine) -> list[Layer]:
    """Return the layers of a timeline from the bottom up; the last one is that of temporary tensors of all stages."""
    mib = line.timeline.mib
    kept = [Layer(kind, mib[kind], colour) for kind, colour in KEPT_COLOURS.items() if any(mib.get(kind, ()))]
    saved = {name.removeprefix('saved/'): values for name, values in mib.items() if name.startswith('saved/')}
    shades = colormaps[SAVED_COLOURS].resampled(max(len(saved), 2))
    others = [values for name, values in mib.items() if name.startswith('temporary/')]
    temporary = [sum(values) for values in zip(*others, strict=True)] or [0.0] * len(line.timeline.ms)
    return [
        *kept,
        *(Layer(name, values, shades(i)) for i, (name, values) in enumerate(saved.items())),
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
    ax.text(*place, layer.name, fontsize=7, color=INK if light else 'white', ha='center', va='center')


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
