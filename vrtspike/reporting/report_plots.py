"""Pictures of a run and of two runs compared. A panel is drawn only if there is something to show in it.

Pictures are observers: a panel that fails says so in its place, and the others are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from rich.cells import cell_len, set_cell_size

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.reporting.figures import drawing, figure_svg, fit_name, save_figure
from vrtspike.reporting.palette import ALERT, INK, RUN_COLOURS, stage_colours
from vrtspike.reporting.panels import (
    iteration_times,
    loss,
    memory,
    memory_timeline,
    ranks,
    roofline,
    stage_bars,
    validation,
)
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key
from vrtspike.reporting.report_summary import headline

PANELS = (
    stage_bars.PANEL,
    memory.PANEL,
    memory_timeline.PANEL,
    iteration_times.PANEL,
    loss.PANEL,
    validation.PANEL,
    roofline.PANEL,
    ranks.PANEL,
)
#: Inches: width of a picture and of a panel on a page; its title; a panel's title and a line of its sentence.
WIDTH, PAGE_WIDTH, TOP, TITLE, LINE = 13.0, 6.2, 0.42, 0.27, 0.17
#: Between panels and around what a panel draws, in inches.
GAP, PAD = 0.16, 0.08
#: Characters of a sentence that fit into an inch; somewhat fewer than on average.
PER_INCH = 13
#: Characters of a name in a picture's title, and of the whole title.
NAME_WIDTH, TITLE_WIDTH = 60, 125


@dataclass(frozen=True)
class Drawn:
    """A panel of a picture.

    Args:
        panel: The panel.
        runs: Those that have data for it.
        sentence: What is seen.
        run_keys: Keys of the runs, if there are several.
    """

    panel: Panel
    runs: tuple[Run, ...]
    sentence: str
    run_keys: tuple[Artist, ...] = ()

    @property
    def title(self) -> str:
        """The title of the panel."""
        return self.panel.title

    @property
    def height(self) -> float:
        """Height of what is drawn, in inches."""
        return self.panel.height(self.runs)

    def draw(self, body: Body) -> list[Artist]:
        """Draw the panel and return the keys of its legend; if that fails, say so in its place."""
        try:
            keys = self.panel.draw(body, self.runs)
            fit_axes(body)
            rehearse(body)
            return keys
        except Exception as error:
            body.clear()
            body.text(0.02, 0.9, f'not drawn: {describe(error)}', color=ALERT, va='top', wrap=True)
            return []

    def svg(self) -> Markup:
        """Return the panel as an SVG element."""
        with drawing():
            keys_height = TITLE * (1 + bool(self.run_keys))
            figure = Figure(figsize=(PAGE_WIDTH, keys_height + self.height))
            head, body = figure.subfigures(2, 1, height_ratios=[keys_height, self.height])
            write_keys(head, self.draw(body))
            if self.run_keys:
                write_keys(head, self.run_keys, loc='lower right')
            return figure_svg(figure, f'{self.title}. {self.sentence}')


def panels_of(report: Report) -> list[Drawn]:
    """Return the panels of one run."""
    colours = stage_colours(entry.stage for entry in report.bottlenecks)
    run = Run(report, INK, stages=colours)
    panels = [panel for panel in PANELS if panel.has_data(report)]
    return [Drawn(panel, (run,), said(panel.sentence, report)) for panel in panels]


def compared_panels(comparison: Comparison, first: Report, second: Report) -> list[Drawn]:
    """Return the panels of two runs."""
    runs = [Run(report, colour) for report, colour in zip((first, second), RUN_COLOURS, strict=True)]
    keys = tuple(area_key(fit_name(run.report.name), run.colour) for run in runs)
    found = []
    for panel in PANELS:
        shown = tuple(run for run in runs if panel.has_data(run.report))
        if len(shown) == 2:
            found.append(Drawn(panel, shown, said(panel.compared, comparison, first, second), keys))
        elif shown:
            only = fit_name(shown[0].report.name)
            text = f'Only {only} has these data. {said(panel.sentence, shown[0].report)}'
            found.append(Drawn(panel, shown, text, keys))
    return found


def said(sentence: Callable[..., str], *about: object) -> str:
    """Return a sentence; if that fails, one that says so."""
    try:
        return sentence(*about)
    except Exception as error:
        return f'Not described: {describe(error)}.'


def describe(error: Exception) -> str:
    """Return an error on one line."""
    return f'{type(error).__name__}: {error}'


def picture_title(report: Report) -> str:
    """Return the headline of a report, as far as it fits on the picture."""
    text = headline(report).replace(report.name, fit_name(report.name, NAME_WIDTH), 1)
    return text if cell_len(text) <= TITLE_WIDTH else f'{set_cell_size(text, TITLE_WIDTH - 1)}…'


def save_picture(report: Report, path: str | Path) -> None:
    """Write the picture of a run in the format that the suffix of ``path`` names."""
    with drawing():
        save_figure(picture(picture_title(report), panels_of(report)), path)


def save_comparison(panels: Sequence[Drawn], path: str | Path) -> None:
    """Write the picture of two runs, from :func:`compared_panels`, in the format that the suffix of ``path`` names."""
    with drawing():
        save_figure(picture('Two runs compared', panels), path)


def picture(title: str, panels: Sequence[Drawn]) -> Figure:
    """Return the figure of a picture: two panels in a row, and if their number is odd, the first in its own row."""
    odd = len(panels) % 2
    rows = [[panels[0]]] * odd + [list(panels[i : i + 2]) for i in range(odd, len(panels), 2)]
    sizes = [(head_height(row), max(panel.height for panel in row) + GAP) for row in rows]
    heights = [TOP, *(sum(size) for size in sizes)]
    figure = Figure(figsize=(WIDTH, sum(heights)))
    head, *bands = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    head.text(PAD / WIDTH, 0.5, title, fontsize=12, va='center')
    write_keys(head, panels[0].run_keys if panels else (), loc='center right')
    for row, size, band in zip(rows, sizes, bands, strict=True):
        heads, bodies = band.subfigures(2, len(row), height_ratios=size, squeeze=False)
        for panel, top, body in zip(row, heads, bodies, strict=True):
            left = PAD * len(row) / WIDTH  # the same distance from the edge in every row
            top.text(left, 1, panel.title, fontsize=11, fontweight='bold', va='top')
            top.text(left, 1 - TITLE / size[0], panel.sentence, va='top', wrap=True)
            # A panel that needs less height than its neighbour is not stretched.
            own, _ = body.subfigures(2, 1, height_ratios=[panel.height, size[1] - panel.height])
            write_keys(top, panel.draw(own))
    return figure


def head_height(row: Sequence[Drawn]) -> float:
    """Return the height of the titles and sentences of panels side by side, in inches."""
    per_line = PER_INCH * WIDTH / len(row)
    lines = max(math.ceil(cell_len(panel.sentence) / per_line) for panel in row)
    return TITLE + LINE * lines


def write_keys(head: Body, keys: Sequence[Artist], loc: str = 'upper right') -> None:
    """Write a legend into the right end of a line."""
    if keys:
        style = dict(borderaxespad=0, borderpad=0.2, columnspacing=1.4)
        head.legend(handles=keys, loc=loc, bbox_to_anchor=(0, 0, 0.985, 1), ncols=len(keys), **style)


def rehearse(body: Body) -> None:
    """Draw a part of a figure into nothing, so that an error comes now and concerns this part alone."""
    whole = body.figure
    body.draw(RendererAgg(*whole.bbox.size, whole.dpi))


def fit_axes(body: Body) -> None:
    """Let the plots fill a part of a figure, with room for their labels.

    Matplotlib's constrained layout gives up on parts within parts.
    """
    frame, pad = body.bbox, PAD * body.figure.dpi
    for _ in range(3):  # numbers along an axis depend on its length
        plots = Bbox.union([ax.get_window_extent() for ax in body.axes])
        whole = Bbox.union([ax.get_tightbbox() for ax in body.axes])
        body.subplots_adjust(
            left=(plots.x0 - whole.x0 + pad) / frame.width,
            right=1 - (whole.x1 - plots.x1 + 2 * pad) / frame.width,
            bottom=(plots.y0 - whole.y0 + pad) / frame.height,
            top=1 - (whole.y1 - plots.y1 + pad) / frame.height,
        )
