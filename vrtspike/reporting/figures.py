"""Matplotlib figures in one style: saved to a file, as SVG for a page, or shown in a window."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from vrtspike.errors import LogError, did_you_mean
from vrtspike.runtime.atomic_write import atomic_write

INK = '#30343b'
STYLE = {
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#8a9099',
    'axes.labelcolor': INK,
    'axes.titlesize': 11,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'font.size': 9,
    'text.color': INK,
    'xtick.color': INK,
    'ytick.color': INK,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'svg.hashsalt': 'vrtspike',
}
#: Backends of Matplotlib that draw into files only.
FILE_BACKENDS = ('agg', 'svg', 'pdf', 'ps', 'cairo', 'template')


@contextmanager
def drawing(style: str | None = None) -> Iterator[None]:
    """Draw in our style, and then in one of Matplotlib's, without warnings about characters that the font lacks.

    Raises:
        LogError: Matplotlib has no such style.
    """
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing from font')
        if style:
            _use_style(style)
        yield


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


def figure_svg(figure: Figure) -> Markup:
    """Return a figure as an SVG element; the same figure always gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
    text = buffer.getvalue()
    return Markup(text[text.index('<svg') :])


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
