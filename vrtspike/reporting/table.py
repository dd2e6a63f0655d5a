"""One table, rendered as plain text, on a terminal, as Markdown and as HTML."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.table import Table as RichTable

#: Text of a cell without a value.
NO_VALUE = '-'
#: Colours of rows on a terminal, by the row's level. A page colours them by the CSS class of the same name.
LEVEL_STYLES = {
    'severe': 'bold red',
    'notable': 'yellow',
    'minor': 'cyan',
    'faster': 'green',
    'slower': 'red',
    'noise': 'dim',
}


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    Args:
        heading: Printed above the column.
        align: Of the cells: ``'left'`` for text, ``'right'`` for numbers.
    """

    heading: str
    align: Literal['left', 'right'] = 'right'


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of text cells.

    Args:
        title: Printed above the table in text. A page or a Markdown document sets it as a heading of its own.
        columns: Headings, or :class:`Column` where the default does not fit: the first column is aligned left, the
            others right.
        rows: Cells, as many in each row as there are columns. ``None`` becomes a dash, other values become text.
        footer: A last row, set off by a line: totals or means.
        notes: Lines below the table.
        levels: One level for each row, such as ``'severe'`` or ``''``, which sets the row's colour (see
            ``LEVEL_STYLES``). Empty where no row has one.

    Raises:
        ValueError: A row, the footer or ``levels`` has the wrong length.
    """

    title: str = ''
    columns: Sequence[str | Column]
    rows: Sequence[Sequence[object]]
    footer: Sequence[object] | None = None
    notes: Sequence[str] = ()
    levels: Sequence[str] = ()

    def __post_init__(self) -> None:
        set_field = msgspec.structs.force_setattr
        set_field(self, 'columns', tuple(_column(column, i) for i, column in enumerate(self.columns)))
        set_field(self, 'rows', tuple(self._cells(row) for row in self.rows))
        set_field(self, 'levels', tuple(self.levels))
        if self.footer is not None:
            set_field(self, 'footer', self._cells(self.footer))
        if self.levels and len(self.levels) != len(self.rows):
            raise ValueError(f'table {self.title!r}: {len(self.levels)} levels for {len(self.rows)} rows')

    def _cells(self, row: Sequence[object]) -> tuple[str, ...]:
        if len(row) != len(self.columns):
            raise ValueError(f'table {self.title!r}: {len(row)} cells for {len(self.columns)} columns: {list(row)}')
        return tuple(NO_VALUE if cell is None else str(cell) for cell in row)

    def level(self, row: int) -> str:
        """Return the level of a row, '' where it has none."""
        return self.levels[row] if self.levels else ''

    def text(self) -> str:
        """Return the table as lines of plain text, for a log file or a pipe: as wide as needed, without colours."""
        from rich.console import Console

        # A wrapped number cannot be read, so the lines may be as long as they need to be.
        console = Console(file=io.StringIO(), width=1000, color_system=None, highlight=False)
        console.print(self.rich(wrap=False))
        lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
        return '\n\n'.join(['\n'.join(lines).rstrip(), *(f'  {note}' for note in self.notes)])

    def rich(self, max_rows: int | None = None, wrap: bool = True) -> RichTable:
        """Return the table for a Rich console, without the notes.

        Args:
            max_rows: Show no more rows than this.
            wrap: Break long lines of the first column where the console is too narrow.
        """
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(
            title=Text(self.title, 'bold') if self.title else None,
            title_justify='left',
            title_style='',
            box=box.SIMPLE_HEAD,
            show_footer=self.footer is not None,
        )
        for i, column in enumerate(self.columns):
            footer = Text(self.footer[i]) if self.footer else ''
            options = {'justify': column.align, 'no_wrap': bool(i) or not wrap, 'overflow': 'fold'}
            table.add_column(Text(column.heading), footer, **options)
        for i, row in enumerate(self.rows[:max_rows]):
            table.add_row(*map(Text, row), style=LEVEL_STYLES.get(self.level(i)))
        return table

    def html(self) -> Markup:
        """Return the table as an HTML element, without the title; cells are escaped."""
        from markupsafe import Markup

        from vrtspike.reporting.pages import render

        return Markup(render('table.html', table=self))

    def markdown(self) -> str:
        """Return the table as Markdown, without the title."""
        headings = [column.heading for column in self.columns]
        marks = ['---' if column.align == 'left' else '--:' for column in self.columns]
        last = [self.footer] if self.footer else []
        lines = [markdown_row(headings), markdown_row(marks), *map(markdown_row, [*self.rows, *last])]
        return '\n\n'.join(['\n'.join(lines), *self.notes])


def _column(column: str | Column, position: int) -> Column:
    if isinstance(column, Column):
        return column
    return Column(column, 'right' if position else 'left')


def markdown_row(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return '| ' + ' | '.join(cell.replace('|', r'\|').replace('\n', ' ') for cell in cells) + ' |'
