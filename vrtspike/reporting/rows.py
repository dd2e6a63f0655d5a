"""The tables of a report as headings and cells, the same on the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass

from vrtspike.analysis.facts import mib, what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.costs import MeasuredCost
from vrtspike.records.stage_costs import PHASE_KEYS, PHASES


@dataclass(frozen=True)
class Rows:
    """A table.

    Args:
        title: What it says.
        headings: The first column is text, the others are numbers.
        cells: As many to a row as there are headings.
    """

    title: str
    headings: tuple[str, ...]
    cells: list[tuple[str, ...]]


def tables(report: Report) -> list[Rows]:
    """Return the tables that a report has something for."""
    made = (bottleneck_rows, stage_rows, part_rows, roofline_rows, quality_rows, rank_rows)
    return [rows for make in made if (rows := make(report)).cells]


def summary(report: Report) -> list[tuple[str, str]]:
    """Return the executive summary: what, and its value."""
    lines = [('log', f'{report.name} ({report.source_format}, {report.samples:,} samples)')]
    lines += _run_lines(report) + _time_lines(report)
    if report.memory.peak_mib is not None:
        stage = report.memory.peak_stage
        lines.append(('peak memory', mib(report.memory.peak_mib) + (f', in {stage}' if stage else '')))
    lines += _training_lines(report)
    lines.append(('steadiness', steadiness(report)))
    return lines


def _run_lines(report: Report) -> list[tuple[str, str]]:
    run = report.run
    if not run:
        return []
    device = run.device or {}
    what = [value for value in (run.config, run.precision) if value]
    where = f'{run.world_size} x {device.get("name", device.get("type", "?"))}'
    return [('run', ', '.join([*what, where]))]


def _time_lines(report: Report) -> list[tuple[str, str]]:
    lines = []
    ms, timed = report.iteration_ms, what_was_timed(report)
    if ms:
        lines.append(
            (timed, f'{number(ms.median)} ms median, {number(ms.mean)} mean, {number(ms.p5)} to '
                    f'{number(ms.p95)} for nine in ten')
        )  # fmt: skip
    rate = report.throughput
    if rate.clips_per_s:
        text = f'{rate.clips_per_s:.3g} clips/s'
        if rate.clips_per_s_interval:
            text += ' (95 %: {:.3g} to {:.3g})'.format(*rate.clips_per_s_interval)
        lines.append(('throughput', text + (f', {rate.frames_per_s:.3g} frames/s' if rate.frames_per_s else '')))
    elif rate.iterations_per_s and timed == 'iteration':
        lines.append(('throughput', f'{rate.iterations_per_s:.3g} iterations/s'))
    if report.phase_shares and timed == 'iteration':
        lines.append(('phases', ', '.join(f'{name} {share:.1%}' for name, share in report.phase_shares.items())))
    top = [f'{entry.stage} {percent(entry.share)}' for entry in report.bottlenecks[:3]]
    if len(report.bottlenecks) > 1:
        lines.append(('bottlenecks', ', '.join(top)))
    return lines


def _training_lines(report: Report) -> list[tuple[str, str]]:
    lines = []
    loss = report.convergence
    if loss:
        text = f'{loss.start:.4g} -> {loss.end:.4g} (medians of the first tenth and the last quarter)'
        lines.append(('loss', f'{loss.trend}, {text}'))
    quality = report.validation
    shown = [f'{name} {value.last:.4g}' for name, value in quality.items()]
    if shown:
        iteration = max(value.last_iteration for value in quality.values())
        lines.append(('validation', f'{", ".join(shown)} at iteration {iteration}'))
    return lines


def steadiness(report: Report) -> str:
    """Return warm-up, drift, outliers and losses that are no numbers, in one line."""
    found = report.stability
    texts = []
    if found.warmup_samples:
        texts.append(f'warm-up of {found.warmup_samples} samples')
    drift = found.drift
    if drift:
        low, high = drift.interval
        noise = ', which is noise' if drift.noise else ''
        texts.append(f'second half x{drift.ratio:.3f} the first (95 %: {low:.3f} to {high:.3f}){noise}')
    if found.outliers:
        texts.append(f'{found.outliers.count} outliers above {number(found.outliers.above_ms)} ms')
    if found.autocorrelation is not None:
        texts.append(f'autocorrelation {found.autocorrelation:.2f}')
    lost = found.losses_not_finite
    if lost or 'loss' in report.curves:
        texts.append(f'{lost} losses not finite' if lost else 'all losses finite')
    return '; '.join(texts) or 'too few samples to tell'


def bottleneck_rows(report: Report) -> Rows:
    """Return the ranking of stages."""
    cells = []
    for i, entry in enumerate(report.bottlenecks, start=1):
        interval = entry.share_interval
        cells.append((
            f'{i}. {entry.stage}',
            percent(entry.share),
            f'{interval[0]:.1%} to {interval[1]:.1%}' if interval else '-',
            '-' if entry.ahead_of_next is None else f'{entry.ahead_of_next:.0%}',
            entry.level or '',
        ))  # fmt: skip
    headings = ('stage', f'share of the {what_was_timed(report)}', '95 % interval', 'sure of its rank', 'level')
    return Rows('Bottlenecks', headings, cells)


def stage_rows(report: Report) -> Rows:
    """Return time by stage and phase, and memory."""
    return _cost_rows('Time by stage and phase (mean ms)', report.stages)


def part_rows(report: Report) -> Rows:
    """Return the same inside stages, the costliest first."""
    parts = dict(sorted(report.parts.items(), key=lambda part: -(part[1].share or 0.0)))
    return _cost_rows('Inside the stages (mean ms)', parts)


STAGE_HEADINGS = ('stage', *PHASES, 'total', 'median', 'p5', 'p95', 'share', 'peak MiB')


def _cost_rows(title: str, costs: dict[str, MeasuredCost]) -> Rows:
    """Return a table of costs; the averages of a legacy timing file make one column more."""
    cells = [_cost_cells(name, cost) for name, cost in costs.items()]
    averages = [cost.avg_since_start_ms for cost in costs.values()]
    if all(average is None for average in averages):
        return Rows(title, STAGE_HEADINGS, cells)
    texts = ['-' if average is None else number(average) for average in averages]
    cells = [(*row, text) for row, text in zip(cells, texts, strict=True)]
    return Rows(title, (*STAGE_HEADINGS, 'avg since start'), cells)


def _cost_cells(name: str, cost: MeasuredCost) -> tuple[str, ...]:
    total = cost.total_ms
    totals = (total.mean, total.median, total.p5, total.p95) if total else (0.0,) * 4
    phases = (getattr(cost, key) for key in PHASE_KEYS)
    memory = cost.memory_mib
    return (
        name,
        *('-' if phase is None else number(phase.mean) for phase in phases),
        *map(number, totals),
        '-' if cost.share is None else percent(cost.share),
        '-' if memory is None else f'{memory:,.0f}',
    )


def roofline_rows(report: Report) -> Rows:
    """Return how much of the device every stage uses."""
    cells = [
        (name, number(point.gmacs), number(point.mib), number(point.gmacs_per_s), point.bound,
         f'{point.efficiency:.0%}', point.verdict)
        for name, point in report.roofline.items()
    ]  # fmt: skip
    headings = ('stage', 'GMAC', 'MiB moved', 'GMAC/s', 'bound by', 'of the roof', 'verdict')
    return Rows('Big or inefficient (forward pass)', headings, cells)


QUALITY = ('last', 'last_iteration', 'best', 'best_iteration')


def quality_rows(report: Report) -> Rows:
    """Return the scalars of the validation."""
    cells = [
        (
            name,
            f'{value.last:.4f}',
            str(value.last_iteration),
            f'{value.best:.4f}',
            str(value.best_iteration),
        )
        for name, value in report.validation.items()
    ]
    return Rows('Validation', ('scalar', 'last', 'at iteration', 'best', 'at iteration'), cells)


def rank_rows(report: Report) -> Rows:
    """Return what every rank does itself."""
    ranks = report.ranks
    own_ms = ranks.own_ms if ranks else {}
    cells = [(rank, number(ms), 'slowest' if int(rank) == ranks.slowest else '') for rank, ms in own_ms.items()]
    return Rows('Ranks', ('rank', 'own ms per iteration', ''), cells)


def number(value: float) -> str:
    """Return a number with about four significant digits."""
    if abs(value) >= 1000:
        return f'{value:,.0f}'
    return f'{value:.1f}' if abs(value) >= 100 else f'{value:.2f}'


def percent(share: float) -> str:
    """Return a fraction in percent."""
    return f'{share:.1%}'
