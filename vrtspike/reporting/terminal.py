"""Reports, comparisons and checks on the terminal."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from vrtspike.analysis.checklist import TITLES, Check
from vrtspike.analysis.comparison import Comparison, Ratio
from vrtspike.analysis.report import Report
from vrtspike.reporting.analysis_tables import report_tables
from vrtspike.reporting.formatting import number
from vrtspike.reporting.report_summary import no_findings, summary
from vrtspike.reporting.table import Table

MAX_ROWS = 24
#: Characters per line if the output is not a terminal.
WIDTH = 120
CHECK_MARKS = {True: '[green]pass[/green]', False: '[red]fail[/red]', None: '[yellow]????[/yellow]'}


def stdout_console() -> Console:
    """Return a console for stdout: as wide as the terminal, or ``WIDTH`` if it is not one."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def report_text(report: Report) -> str:
    """Return what :func:`show_report` prints to a file."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    show_report(report, console)
    return console.file.getvalue()


def show_report(report: Report, console: Console | None = None) -> None:
    """Print a whole report, by default to stdout."""
    console = console or stdout_console()
    grid = RichTable.grid(padding=(0, 2))
    for name, value in summary(report):
        grid.add_row(f'[dim]{escape(name)}[/dim]', escape(value))
    console.print('[bold]Summary[/bold]')
    console.print(grid)
    for table in report_tables(report):
        console.print()
        console.print(table.rich(MAX_ROWS))
        if len(table.rows) > MAX_ROWS:
            console.print(f'  [dim]and {len(table.rows) - MAX_ROWS} more: see --html or --json[/dim]')
    show_findings(console, report)
    show_warnings(console, report.warnings)


def show_findings(console: Console, report: Report) -> None:
    """Print what stands out and what to try."""
    console.print('\n[bold]Findings[/bold]' if report.findings else f'\n{no_findings(report)}')
    for i, finding in enumerate(report.findings, start=1):
        saving = finding.saves_at_most
        limit = '' if saving is None else f' [dim]It can save {saving:.0%} at most.[/dim]'
        console.print(_hanging(f'{i}.', f'[bold]{escape(finding.title)}[/bold]: {escape(finding.evidence)}'))
        console.print(_hanging('  ', escape(finding.advice) + limit))
        for line in finding.config:
            console.print(f'       [green]{escape(line)}[/green]', soft_wrap=True)


def show_warnings(console: Console, warnings: list[str]) -> None:
    """Print what limits the numbers."""
    if warnings:
        console.print('\n[bold]Limits of these numbers[/bold]')
    for warning in warnings:
        console.print(_hanging('-', escape(warning)))


def _hanging(mark: str, text: str) -> RichTable:
    """Return a paragraph with a hanging indent after ``mark``."""
    grid = RichTable.grid(padding=(0, 1))
    grid.add_row(mark, text)
    return grid


def show_comparison(comparison: Comparison) -> None:
    """Print two runs side by side."""
    console = stdout_console()
    console.print(comparison_table(comparison).rich())
    if comparison.only_in_one:
        console.print(f'Stages of one run only: {", ".join(comparison.only_in_one)}')
    show_warnings(console, comparison.warnings)


def comparison_table(comparison: Comparison) -> Table:
    """Return times, memory, GMAC and quality of two runs, with their ratios or differences."""
    times = {'iteration (ms)': comparison.iteration_ms}
    if comparison.unit == 'ms per clip':
        times['whole clip'] = comparison.total_ms
    times |= comparison.stages
    rows = [_ratio_row(name, ratio) for name, ratio in times.items()]
    for name, ratio in (('peak memory (MiB)', comparison.memory_mib), ('GMAC per clip', comparison.gmacs)):
        if ratio.first is not None and ratio.second is not None:
            rows.append((name, number(ratio.first), number(ratio.second), _factor(ratio.ratio), '', ''))
    for name, each in comparison.validation.items():
        rows.append((name, f'{each.first:.4f}', f'{each.second:.4f}', f'{each.difference:+.4f}', '', ''))
    return Table(
        title=' against '.join(comparison.runs),
        columns=[comparison.unit, *comparison.runs, 'ratio', '95 % interval', 'verdict'],
        rows=rows,
        levels=[row[-1] for row in rows],
    )


def _ratio_row(name: str, ratio: Ratio) -> tuple[str | None, ...]:
    interval = f'{ratio.interval[0]:.3f} to {ratio.interval[1]:.3f}' if ratio.interval else None
    return name, number(ratio.first), number(ratio.second), _factor(ratio.ratio), interval, ratio.verdict


def _factor(ratio: float | None) -> str | None:
    return None if ratio is None else f'x{ratio:.3f}'


def show_checks(checks: list[Check]) -> None:
    """Print the checklist, one check to a line."""
    console = stdout_console()
    for check in checks:
        line = f'{CHECK_MARKS[check.passed]}  {TITLES[check.name]}: {escape(check.numbers)}'
        console.print(line, soft_wrap=True)
