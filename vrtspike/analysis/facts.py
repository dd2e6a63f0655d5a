"""What a report says, asked for by name: shared by findings, tables and pictures."""

from __future__ import annotations

from typing import Any

from vrtspike.analysis.logs import FORWARD_ONLY

Report = dict[str, Any]


def share_of(report: Report, stage: str) -> float:
    """Return a stage's share of the iteration, 0 where it has none."""
    return (report['stages'].get(stage) or {}).get('share') or 0.0


def by_mean(report: Report, phase: str) -> list[str]:
    """Return the stages that have a phase, those with the greatest mean first."""
    means = {name: cost[phase]['mean'] for name, cost in report['stages'].items() if cost[phase]}
    return sorted(means, key=means.get, reverse=True)


def computes_in_half(report: Report) -> bool:
    """Whether a run is known to compute in 16 bits already, or nothing is known about it."""
    precision = (report['run'] or {}).get('precision')
    return precision != 'float32'


def unsynchronised(report: Report) -> str:
    """Return what to add to a time that the host clock measured; nothing to others."""
    return ', by the host clock' if report['source_format'] in FORWARD_ONLY else ''


def what_was_timed(report: Report) -> str:
    """Return what shares are shares of."""
    return 'forward pass' if report['source_format'] in FORWARD_ONLY else 'iteration'


def mib(value: float | None) -> str:
    """Return an amount of memory as text."""
    return 'unknown' if value is None else f'{value:,.0f} MiB'
