"""The summary of a run's report: one line for each question, for the terminal and the page."""

from __future__ import annotations

from vrtspike.analysis.facts import mib, what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.stability import Stability
from vrtspike.reporting.formatting import number, percent

Line = tuple[str, str]
"""A name and a value."""


def headline(report: Report) -> str:
    """Return the report in one line: what was measured, how often, and where."""
    parts = [report.name]
    if report.iteration_ms:
        parts.append(f'{report.iteration_ms.median:,.1f} ms per {what_was_timed(report)} (median)')
    parts.append(f'{report.samples:,} sample{"" if report.samples == 1 else "s"} of {report.source_format}')
    device = (report.run and report.run.device) or {}
    if device.get('name'):
        parts.append(device['name'])
    return ' · '.join(parts)


def summary(report: Report) -> list[Line]:
    """Return the names and values of the summary."""
    log = f'{report.name} ({report.source_format}, {report.samples:,} samples)'
    return [
        ('log', log),
        *_run_lines(report),
        *_time_lines(report),
        *_utilisation_lines(report),
        *_memory_lines(report),
        *_training_lines(report),
        ('stability', stability_text(report.stability, has_loss='loss' in report.curves)),
    ]


def _run_lines(report: Report) -> list[Line]:
    run = report.run
    if not run:
        return []
    device = run.device or {}
    known = [value for value in (run.config, run.precision) if value]
    where = device.get('name') or device.get('type')
    processes = f'{run.world_size} x {where}' if where else f'{run.world_size} processes'
    return [('run', ', '.join([*known, processes]))]


def _time_lines(report: Report) -> list[Line]:
    lines = []
    ms, timed = report.iteration_ms, what_was_timed(report)
    if ms:
        spread = f'5th to 95th percentile {number(ms.p5)} to {number(ms.p95)}'
        lines.append((timed, f'{number(ms.median)} ms median, {number(ms.mean)} mean, {spread}'))
    lines += _throughput_lines(report)
    if report.phase_shares and timed == 'iteration':
        lines.append(('phases', ', '.join(f'{name} {share:.1%}' for name, share in report.phase_shares.items())))
    if len(report.bottlenecks) > 1:
        first = [f'{entry.stage} {percent(entry.share)}' for entry in report.bottlenecks[:3]]
        lines.append(('bottlenecks', ', '.join(first)))
    return lines


def _throughput_lines(report: Report) -> list[Line]:
    rate = report.throughput
    if rate.clips_per_s:
        text = f'{rate.clips_per_s:.3g} clips/s'
        if rate.clips_per_s_interval:
            text += ' (95 %: {:.3g} to {:.3g})'.format(*rate.clips_per_s_interval)
        if rate.frames_per_s:
            text += f', {rate.frames_per_s:.3g} frames/s'
        return [('throughput', text)]
    if rate.iterations_per_s and what_was_timed(report) == 'iteration':
        return [('throughput', f'{rate.iterations_per_s:.3g} iterations/s')]
    return []


def _utilisation_lines(report: Report) -> list[Line]:
    used = report.utilisation
    if used is None:
        return []
    hfu = f', HFU {percent(used.hfu.median)}' if used.hfu else ''
    text = f'MFU {percent(used.mfu.median)}{hfu} of the measured peak (medians)'
    if used.nominal_mfu is not None:
        text += f'; MFU {percent(used.nominal_mfu)} of the stated peak'
    return [('utilisation', text)]


def _memory_lines(report: Report) -> list[Line]:
    memory = report.memory
    if memory.peak_mib is None:
        return []
    stage = f', in {memory.peak_stage}' if memory.peak_stage else ''
    return [('peak memory', mib(memory.peak_mib) + stage)]


def _training_lines(report: Report) -> list[Line]:
    lines = []
    loss, quality = report.convergence, report.validation
    if loss:
        text = f'{loss.start:.4g} -> {loss.end:.4g} (medians of the first tenth and the last quarter)'
        lines.append(('loss', f'{loss.trend}, {text}'))
    if quality:
        scalars = ', '.join(f'{name} {value.last:.4g}' for name, value in quality.items())
        iteration = max(value.last_iteration for value in quality.values())
        lines.append(('validation', f'{scalars} at iteration {iteration}'))
    return lines


def stability_text(found: Stability, has_loss: bool) -> str:
    """Return warm-up, drift, outliers and non-finite losses in one line."""
    texts = []
    if found.warmup_samples:
        texts.append(f'warm-up of {found.warmup_samples} samples')
    if found.drift:
        low, high = found.drift.interval
        noise = ', which is noise' if found.drift.noise else ''
        texts.append(
            f'second half takes {found.drift.ratio:.3f} times the first (95 %: {low:.3f} to {high:.3f}){noise}'
        )
    if found.outliers:
        texts.append(f'{found.outliers.count} outliers above {number(found.outliers.above_ms)} ms')
    if found.autocorrelation is not None:
        texts.append(f'autocorrelation {found.autocorrelation:.2f}')
    if found.losses_not_finite:
        texts.append(f'{found.losses_not_finite} losses not finite')
    elif has_loss:
        texts.append('all losses finite')
    return '; '.join(texts) or 'too few samples to tell'


def no_findings(report: Report) -> str:
    """Return what a report without findings says in their place."""
    return 'Nothing stands out.' if report.samples else 'Without times of iterations, costs cannot be judged.'
