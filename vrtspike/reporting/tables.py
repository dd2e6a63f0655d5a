"""Tables as text, the same in the terminal and in the log file."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def table_text(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], footer: Sequence[object] | None = None
) -> str:
    """Return a table as lines of plain text: the first column flush left, the others flush right.

    Args:
        title: Printed above.
        columns: Headings.
        rows: Cells, as many to a row as there are columns; None is shown as a dash.
        footer: A last row, set off by a line.
    """
    table = Table(
        title=title, title_justify='left', title_style='', box=box.SIMPLE_HEAD, show_footer=footer is not None
    )
    for i, heading in enumerate(columns):
        last = _cell(footer[i]) if footer is not None else ''
        table.add_column(heading, footer=last, justify='right' if i else 'left', no_wrap=True)
    for row in rows:
        table.add_row(*map(_cell, row))
    # As wide as the table needs: a log file has no width, and a wrapped number is no number.
    console = Console(file=io.StringIO(), width=1000, color_system=None, markup=False, highlight=False)
    console.print(table)
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines()).rstrip()


def _cell(value: object) -> str:
    return '-' if value is None else str(value)
