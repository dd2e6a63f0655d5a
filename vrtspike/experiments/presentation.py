"""The table and the plot of an ablation's record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vrtspike.experiments.statistics import NOT_INFORMATIVE
from vrtspike.runtime.atomic_write import written_aside

HEADINGS = (
    'variant', 'seeds', 'PSNR dB', 'gain dB', 'difference dB [95 %]', 'verdict', 'SSIM', 'ms / iteration', 'fusion ms',
    'TSA ms', 'encoder ms', 'GMAC', 'parameters', 'peak MiB',
)  # fmt: skip


def rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of cells for every variant: the reference first, then by PSNR, what failed last."""
    reference, *others = record['variants']
    others.sort(key=lambda variant: (variant['psnr_db']['mean'] is None, -(variant['psnr_db']['mean'] or 0)))
    return [_cells(variant) for variant in (reference, *others)]


def markdown(record: Mapping[str, Any]) -> str:
    """Return the table as Markdown."""
    lines = [HEADINGS, ('---', *['--:'] * 4, '---', *['--:'] * (len(HEADINGS) - 6)), *rows(record)]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def failures(record: Mapping[str, Any]) -> list[str]:
    """Return a line for every variant that failed."""
    return [f'{each["name"]} failed: {each["failure"]}' for each in record['variants'] if each['failure']]


def plot(record: Mapping[str, Any], path: str | Path) -> None:
    """Draw quality against time, with the seeds' intervals, and write it to ``path`` (a suffix matplotlib knows)."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    shown = [each for each in record['variants'] if each['psnr_db']['mean'] is not None]
    figure, axes = pyplot.subplots(figsize=(8, 5), layout='constrained')
    for variant in shown:
        x, y = variant['iteration_ms'], variant['psnr_db']
        error = 0 if y['low'] is None else y['high'] - y['mean']
        axes.errorbar(x, y['mean'], error, marker='o', capsize=3)
        axes.annotate(variant['name'], (x, y['mean']), xytext=(6, 4), textcoords='offset points', fontsize=8)
    axes.set(xlabel='ms per training iteration', ylabel='PSNR of held-out clips, dB (95 % over seeds)')
    axes.grid(alpha=0.3)
    with written_aside(path) as aside:
        figure.savefig(aside)
    pyplot.close(figure)


def _cells(variant: Mapping[str, Any]) -> list[str]:
    if not variant['runs']:
        return [variant['name'], '0', *['-'] * 3, 'failed' if variant['failure'] else 'not run', *['-'] * 8]
    stages = variant['stage_ms'] or {}
    return [
        variant['name'],
        str(len(variant['runs'])),
        f'{variant["psnr_db"]["mean"]:.2f}',
        f'{variant["gain_db"]["mean"]:+.2f}',
        *_difference(variant['difference_db']),
        f'{variant["ssim"]["mean"]:.4f}',
        _number(variant['iteration_ms'], '.0f'),
        _stage(stages, 'fuse'),
        _stage(stages, 'tsa'),
        _stage(stages, 'spike_encoder'),
        _number(variant['gmacs'], '.3f'),
        _number(variant['parameters'], ','),
        _number(variant['peak_memory_mib'], '.0f'),
    ]


def _difference(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the difference and its verdict; where it is not informative there is no number to be misread."""
    if found is None:
        return '', 'reference'
    if found['verdict'] == NOT_INFORMATIVE:
        return '', NOT_INFORMATIVE
    return f'{found["mean"]:+.2f} [{found["low"]:+.2f}, {found["high"]:+.2f}]', found['verdict']


def _stage(stages: Mapping[str, float], prefix: str) -> str:
    """Return the milliseconds of all stages whose names begin with ``prefix``."""
    found = [value for name, value in stages.items() if name.startswith(prefix)]
    return f'{sum(found):.1f}' if found else '-'


def _number(value: float | None, spec: str) -> str:
    return '-' if value is None else f'{value:{spec}}'
