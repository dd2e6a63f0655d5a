"""Facts about a report that findings, tables and plots use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrtspike.analysis.logs import FORWARD_ONLY

if TYPE_CHECKING:
    from vrtspike.analysis.report import Report


def share_of(report: Report, stage: str) -> float:
    """Return a stage's share of the iteration, 0 if it has none."""
    cost = report.stages.get(stage)
    return (cost and cost.share) or 0.0


def by_mean(report: Report, phase_key: str) -> list[str]:
    """Return the stages that have a phase, those with the largest mean first.

    Args:
        report: Of a run.
        phase_key: The phase, as in ``recompute_ms``.
    """
    times = {name: getattr(cost, phase_key) for name, cost in report.stages.items()}
    return sorted((name for name in times if times[name]), key=lambda name: times[name].mean, reverse=True)


def uses_lower_precision(report: Report) -> bool:
    """Whether a run uses lower precision already, or its precision is not known."""
    return report.run is None or report.run.precision != 'float32'


def unsynchronised(report: Report) -> str:
    """Return a note for times that were read from the host clock, an empty text for others."""
    return ', by the host clock' if report.source_format in FORWARD_ONLY else ''


def what_was_timed(report: Report) -> str:
    """Return what the shares are fractions of."""
    return 'forward pass' if report.source_format in FORWARD_ONLY else 'iteration'


def mib(value: float | None) -> str:
    """Return an amount of memory as text."""
    return 'unknown' if value is None else f'{value:,.0f} MiB'
