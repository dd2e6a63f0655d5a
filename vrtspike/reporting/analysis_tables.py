"""The tables of a run's report, for the terminal and the page."""

from __future__ import annotations

from vrtspike.analysis.facts import what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.stage_shares import MeasuredCost
from vrtspike.records.stage_costs import PHASE_KEYS, PHASES
from vrtspike.reporting.formatting import number, percent, percent_range
from vrtspike.reporting.memory_tables import memory_table
from vrtspike.reporting.table import Table


def report_tables(report: Report) -> list[Table]:
    """Return the tables that a report has rows for."""
    made = (
        bottleneck_table(report),
        stage_table(report),
        part_table(report),
        roofline_table(report),
        utilisation_table(report),
        *([memory_table(report.explained_memory)] if report.explained_memory else []),
        quality_table(report),
        rank_table(report),
    )
    return [table for table in made if table.rows]


def bottleneck_table(report: Report) -> Table:
    """Return the ranking of the stages."""
    rows = [
        (
            f'{i}. {entry.stage}',
            percent(entry.share),
            percent_range(entry.share_interval),
            percent(entry.ahead_of_next, '.0%'),
            entry.level or '',
        )
        for i, entry in enumerate(report.bottlenecks, start=1)
    ]
    return Table(
        title='Bottlenecks',
        columns=['stage', f'share of the {what_was_timed(report)}', '95 % interval', 'confidence in rank', 'level'],
        rows=rows,
        levels=[entry.level or '' for entry in report.bottlenecks],
    )


def stage_table(report: Report) -> Table:
    """Return time by stage and phase, and memory."""
    return _cost_table('Time by stage and phase (mean ms)', report.stages)


def part_table(report: Report) -> Table:
    """Return time by part of a stage and phase, the costliest part first."""
    parts = sorted(report.parts.items(), key=lambda item: -(item[1].share or 0.0))
    return _cost_table('Inside the stages (mean ms)', dict(parts))


def _cost_table(title: str, costs: dict[str, MeasuredCost]) -> Table:
    columns = ['stage', *PHASES, 'total', 'median', 'p5', 'p95', 'share', 'peak MiB']
    rows = [_cost_row(name, cost) for name, cost in costs.items()]
    averages = [cost.avg_since_start_ms for cost in costs.values()]  # only the older code's timing files have them
    if any(average is not None for average in averages):
        columns.append('avg since start')
        for row, average in zip(rows, averages, strict=True):
            row.append(None if average is None else number(average))
    host_bound = [cost.host_bound_share for cost in costs.values()]  # only a GPU's records have it
    if any(share is not None for share in host_bound):
        columns.append('host-bound')
        for row, share in zip(rows, host_bound, strict=True):
            row.append(percent(share))
    return Table(title=title, columns=columns, rows=rows)


def _cost_row(name: str, cost: MeasuredCost) -> list[str | None]:
    phases = (getattr(cost, key) for key in PHASE_KEYS)
    total = cost.total_ms
    totals = (total.mean, total.median, total.p5, total.p95) if total else (0.0,) * 4
    memory = cost.memory_mib
    return [
        name,
        *(None if phase is None else number(phase.mean) for phase in phases),
        *map(number, totals),
        percent(cost.share),
        None if memory is None else f'{memory:,.0f}',
    ]


def roofline_table(report: Report) -> Table:
    """Return how much of the device every stage uses."""
    rows = [
        (
            name,
            number(point.gmacs),
            number(point.mib),
            number(point.gmacs_per_s),
            f'{point.bound}-bound',
            f'{point.efficiency:.0%}',
            point.verdict,
        )
        for name, point in report.roofline.items()
    ]
    columns = ['stage', 'GMAC', 'MiB moved', 'GMAC/s', 'limit', 'of roofline', 'verdict']
    return Table(title='Big or inefficient (forward pass)', columns=columns, rows=rows)


def utilisation_table(report: Report) -> Table:
    """Return the fractions of the measured peak by stage."""
    stages = report.utilisation.stages if report.utilisation else {}
    rows = [(name, percent(used.mfu), None if used.hfu is None else percent(used.hfu)) for name, used in stages.items()]
    return Table(title='Utilisation of the measured peak (all phases)', columns=['stage', 'MFU', 'HFU'], rows=rows)


def quality_table(report: Report) -> Table:
    """Return the last and best scalars of the validations."""
    rows = [
        (name, f'{value.last:.4f}', value.last_iteration, f'{value.best:.4f}', value.best_iteration)
        for name, value in report.validation.items()
    ]
    columns = ['scalar', 'last', 'at iteration', 'best', 'at iteration']
    return Table(title='Validation', columns=columns, rows=rows)


def rank_table(report: Report) -> Table:
    """Return the time that every rank computes, without waiting for the others."""
    own_ms = report.ranks.own_ms if report.ranks else {}
    rows = [(rank, number(ms), 'slowest' if int(rank) == report.ranks.slowest else '') for rank, ms in own_ms.items()]
    return Table(title='Ranks', columns=['rank', 'own ms per iteration', ''], rows=rows)
