"""Reports, comparisons and checks on the terminal."""

from __future__ import annotations

import io
import sys

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vrtspike.analysis.advice import Finding
from vrtspike.analysis.checklist import TITLES, Check
from vrtspike.analysis.comparison import Comparison, Ratio
from vrtspike.analysis.report import Report
from vrtspike.reporting.rows import Rows, number, summary, tables

LEVEL_STYLES = {'severe': 'bold red', 'notable': 'yellow', 'minor': 'cyan'}
MOST_ROWS = 24
WIDTH = 120
VERDICT_STYLES = {'faster': 'green', 'slower': 'red', 'noise': 'dim'}


def console() -> Console:
    """Return a console for stdout, wide enough where nobody looks at a screen."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def report_text(report: Report) -> str:
    """Return what :func:`show_report` prints where nobody looks at a screen."""
    out = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    show_report(report, out)
    return out.file.getvalue()


def show_report(report: Report, out: Console | None = None) -> None:
    """Print a whole report, to stdout if not told otherwise."""
    out = out or console()
    grid = Table.grid(padding=(0, 2))
    for what, value in summary(report):
        grid.add_row(f'[dim]{escape(what)}[/dim]', escape(value))
    out.print('[bold]Summary[/bold]')
    out.print(grid)
    for rows in tables(report):
        out.print()
        out.print(_table(rows, MOST_ROWS))
        if len(rows.cells) > MOST_ROWS:
            out.print(f'  [dim]and {len(rows.cells) - MOST_ROWS} more: see --html or --json[/dim]')
    show_findings(out, report.findings)
    show_warnings(out, report.warnings)


def show_findings(out: Console, findings: list[Finding]) -> None:
    """Print what stands out and what to try."""
    out.print('\n[bold]Findings[/bold]' if findings else '\nNothing stands out.')
    for i, finding in enumerate(findings, start=1):
        saving = finding.saves_at_most
        limit = '' if saving is None else f' [dim]It can save {saving:.0%} at most.[/dim]'
        out.print(hanging(f'{i}.', f'[bold]{escape(finding.title)}[/bold]: {escape(finding.evidence)}'))
        out.print(hanging('  ', escape(finding.remedy) + limit))
        for line in finding.config:
            out.print(f'       [green]{escape(line)}[/green]', soft_wrap=True)


def show_warnings(out: Console, warnings: list[str]) -> None:
    """Print what a reader must know."""
    if warnings:
        out.print('\n[bold]What these numbers can and cannot mean[/bold]')
    for warning in warnings:
        out.print(hanging('-', escape(warning)))


def hanging(mark: str, text: str) -> Table:
    """Return a paragraph whose lines all begin after ``mark``."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(mark, text)
    return grid


def show_comparison(comparison: Comparison) -> None:
    """Print two runs side by side."""
    out = console()
    entries = {'iteration (ms)': comparison.iteration_ms}
    if comparison.unit == 'ms per clip':
        entries['whole clip'] = comparison.total_ms
    entries |= comparison.stages
    cells = [comparison_cells(name, entry) for name, entry in entries.items()]
    for name, entry in (('peak memory (MiB)', comparison.memory_mib), ('GMAC per clip', comparison.gmacs)):
        if entry.first is not None and entry.second is not None:
            ratio = '-' if entry.ratio is None else f'x{entry.ratio:.3f}'
            cells.append((name, number(entry.first), number(entry.second), ratio, '', ''))
    for name, entry in comparison.validation.items():
        cells.append((name, f'{entry.first:.4f}', f'{entry.second:.4f}', f'{entry.difference:+.4f}', '', ''))
    headings = (comparison.unit, *comparison.runs, 'ratio', '95 % interval', 'verdict')
    out.print(_table(Rows(' against '.join(comparison.runs), headings, cells)))
    if comparison.only_in_one:
        out.print(f'Stages of one run only: {", ".join(comparison.only_in_one)}')
    show_warnings(out, comparison.warnings)


def comparison_cells(name: str, entry: Ratio) -> tuple[str, ...]:
    """Return one row of a comparison."""
    interval = entry.interval
    return (
        name,
        number(entry.first),
        number(entry.second),
        '-' if entry.ratio is None else f'x{entry.ratio:.3f}',
        f'{interval[0]:.3f} to {interval[1]:.3f}' if interval else '-',
        entry.verdict,
    )


def show_checks(checks: list[Check]) -> None:
    """Print the checklist, one line each."""
    out = console()
    words = {True: '[green]pass[/green]', False: '[red]fail[/red]', None: '[yellow]????[/yellow]'}
    for check in checks:
        out.print(f'{words[check.passed]}  {TITLES[check.name]}: {escape(check.numbers)}', soft_wrap=True)


def _table(rows: Rows, most: int | None = None) -> Table:
    table = Table(title=escape(rows.title), title_justify='left', title_style='bold', box=box.SIMPLE_HEAD)
    for i, heading in enumerate(rows.headings):
        table.add_column(escape(heading), justify='right' if i else 'left', no_wrap=bool(i), overflow='fold')
    for cells in rows.cells[:most]:
        style = LEVEL_STYLES.get(cells[-1]) or VERDICT_STYLES.get(cells[-1])
        table.add_row(*map(escape, cells), style=style)
    return table
