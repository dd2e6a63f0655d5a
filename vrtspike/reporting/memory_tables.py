"""The table of what holds the memory at the peak of an iteration."""

from __future__ import annotations

from vrtspike.records.memory import KINDS, Holding, MemoryLine
from vrtspike.reporting.table import Table

SHOWN_FROM = 0.005
"""Smallest share of the peak that has a row of its own."""


def memory_table(line: MemoryLine) -> Table:
    """Return what holds the memory at the peak, the largest first."""
    shown = [each for each in line.holdings if abs(each.mib) >= SHOWN_FROM * line.peak_mib]
    shown.sort(key=lambda each: -each.mib)
    rows = [_row(KINDS[each.kind], each.stage or '', each.mib, line) for each in shown]
    rest = [each for each in line.holdings if each not in shown]
    if rest:
        rows.append(_row(f'{len(rest)} with less than {SHOWN_FROM:.1%} each', '', _sum(rest), line))
    saved = _sum([each for each in line.holdings if each.kind == 'saved'])
    return Table(
        title=f'Memory at the peak of iteration {line.iteration}, in {line.peak_in}, on {line.device}',
        columns=['what', 'stage', 'MiB', 'share'],
        rows=rows,
        footer=['peak', '', f'{line.peak_mib:,.1f}', '100.0%'],
        notes=[f'saved activations of all stages: {saved:,.1f} MiB, {saved / line.peak_mib:.1%} of the peak'],
    )


def _row(what: str, stage: str, mib: float, line: MemoryLine) -> list[str]:
    return [what, stage, f'{mib:,.1f}', f'{mib / line.peak_mib:.1%}']


def _sum(holdings: list[Holding]) -> float:
    return sum(each.mib for each in holdings)
