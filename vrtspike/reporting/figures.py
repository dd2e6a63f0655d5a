"""Matplotlib figures in one style: saved to a file, as SVG for a page, or shown in a window."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib
from markupsafe import Markup, escape
from matplotlib import cycler, font_manager
from matplotlib.figure import Figure
from rich.cells import cell_len, set_cell_size

from vrtspike.errors import LogError, did_you_mean
from vrtspike.reporting.palette import GREY, GRID, INK, STAGE_COLOURS
from vrtspike.runtime.atomic_write import atomic_write

STYLE = {
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': GREY,
    'axes.axisbelow': True,
    'axes.prop_cycle': cycler(color=STAGE_COLOURS),
    'axes.labelcolor': INK,
    'axes.titlesize': 11,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'font.size': 9,
    'grid.color': GRID,
    'grid.linewidth': 0.8,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'vrtspike',
    'text.parse_math': False,  # names come from logs
}
#: How the files of fonts with Chinese characters begin, which Matplotlib's own font lacks; the first one found serves.
EAST_ASIAN_FONTS = ('notosanscjk', 'sourcehansans', 'pingfang', 'msyh', 'simhei', 'wqy-', 'droidsansfallback')
#: Characters of a name from a log; a Chinese one counts as two.
NAME_WIDTH = 28
#: Backends of Matplotlib that draw into files only.
FILE_BACKENDS = ('agg', 'svg', 'pdf', 'ps', 'cairo', 'template')


@contextmanager
def drawing(style: str | None = None) -> Iterator[None]:
    """Draw in our style, and then in one of Matplotlib's, without warnings about characters that the font lacks.

    Raises:
        LogError: Matplotlib has no such style.
    """
    fonts = {'font.family': ['DejaVu Sans', *east_asian_fonts(), 'sans-serif']}
    with matplotlib.rc_context(STYLE | fonts), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing from font')
        if style:
            _use_style(style)
        yield


@cache
def east_asian_fonts() -> tuple[str, ...]:
    """Return the family of an installed font with Chinese characters; empty if there is none."""
    files = [Path(file) for file in sorted(font_manager.findSystemFonts())]
    for start in EAST_ASIAN_FONTS:
        faces = [file for file in files if file.stem.lower().startswith(start)]
        if faces:
            chosen = [file for file in faces if file.stem.endswith(('Regular', 'Bold'))] or faces[:1]
            for file in chosen:
                font_manager.fontManager.addfont(file)
            return (font_manager.FontProperties(fname=chosen[0]).get_name(),)
    return ()


def fit_name(name: str, width: int = NAME_WIDTH) -> str:
    """Return a name from a log on one line, with at most ``width`` characters.

    Of a longer name, the parts between dots or slashes are abbreviated, the first ones first, so that names of modules
    that differ in a number still do. If that is not enough, its middle is left out.
    """
    name = ' '.join(name.split())
    parts = re.split(r'([./])', name)
    for i in range(len(parts) - 1):
        if cell_len(''.join(parts)) > width and not parts[i].isdigit():
            parts[i] = parts[i][:1]
    name = ''.join(parts)
    if cell_len(name) <= width:
        return name
    end = set_cell_size(name[::-1], width // 2)[::-1].lstrip()
    return f'{set_cell_size(name, width - width // 2 - 1).rstrip()}…{end}'


def _use_style(name: str) -> None:
    from matplotlib import style

    if name not in style.available:
        raise LogError(f"Matplotlib has no style '{name}'{did_you_mean(name, style.available)}")
    style.use(name)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure in the format that the suffix names.

    Raises:
        LogError: The suffix of ``path`` is not a format of pictures.
    """
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lower().lstrip('.')
    if suffix not in known:
        raise LogError(f"{path}: no picture can be written as '.{suffix}'; known: {', '.join(sorted(known))}")
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


def figure_svg(figure: Figure, description: str) -> Markup:
    """Return a figure as an SVG element; the same figure always gives the same text.

    Args:
        figure: The figure.
        description: What is seen, for readers who do not see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
    _, _, element = buffer.getvalue().partition('<svg')
    return Markup('<svg role="img" aria-label="{}"{}').format(escape(description), Markup(element))


def window_figure(size: tuple[float, float], backend: str | None = None) -> Figure:
    """Return a figure that ``matplotlib.pyplot.show()`` shows.

    Args:
        size: Width and height in inches.
        backend: Matplotlib's backend, by default the first that works here.

    Raises:
        LogError: There is no screen.
    """
    import matplotlib.pyplot as plt
    from matplotlib import rcsetup

    try:
        # Not the configured one: commands configure a backend for files.
        plt.switch_backend(backend or rcsetup._auto_backend_sentinel)
    except (ImportError, ValueError) as error:
        raise LogError(f'the picture cannot be shown ({error}): write it with --out FILE') from error
    if plt.get_backend().lower() in FILE_BACKENDS:
        raise LogError('there is no screen to show the picture on: write it with --out FILE')
    return plt.figure(figsize=size, layout='constrained')
