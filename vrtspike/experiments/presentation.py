"""The table and the plot of an ablation's record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vrtspike.experiments.record import AblationRecord, VariantRecord
from vrtspike.experiments.statistics import NOT_INFORMATIVE
from vrtspike.reporting.table import Column, Table
from vrtspike.runtime.atomic_write import atomic_write

COLUMNS = (
    *('variant', 'seeds', 'PSNR dB', 'gain dB', 'difference dB [95 %]', Column('verdict', 'left'), 'SSIM'),
    *('ms / iteration', 'fusion ms', 'TSA ms', 'encoder ms', 'GMAC', 'parameters', 'peak MiB'),
)


def table(record: AblationRecord) -> Table:
    """Return a row for every variant: the reference, then the others by PSNR, those without a finished run last."""
    reference, *others = record.variants
    others.sort(key=lambda variant: (variant.psnr_db.mean is None, -(variant.psnr_db.mean or 0)))
    title = f'{record.config}: {record.iterations} iterations, seeds {", ".join(map(str, record.seeds))}'
    return Table(title=title, columns=COLUMNS, rows=[_cells(variant) for variant in (reference, *others)])


def failure_lines(record: AblationRecord) -> list[str]:
    """Return a line for every variant that failed."""
    return [f'{variant.name} failed: {variant.failure}' for variant in record.variants if variant.failure]


def plot(record: AblationRecord, path: str | Path) -> None:
    """Plot quality against time, with the intervals over the seeds, into an image file."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout='constrained')
    for variant in record.variants:
        x, y = variant.iteration_ms, variant.psnr_db
        if y.mean is None:
            continue
        error = 0 if y.low is None else y.high - y.mean
        axes.errorbar(x, y.mean, error, marker='o', capsize=3)
        axes.annotate(variant.name, (x, y.mean), xytext=(6, 4), textcoords='offset points', fontsize=8)
    axes.set(xlabel='ms per training iteration', ylabel='PSNR of held-out clips, dB (95 % over seeds)')
    axes.grid(alpha=0.3)
    with atomic_write(path) as aside:
        figure.savefig(aside)
    pyplot.close(figure)


def _cells(variant: VariantRecord) -> Sequence[str | None]:
    if not variant.runs:
        return [variant.name, '0', *[None] * 3, 'failed' if variant.failure else 'not run', *[None] * 8]
    difference, stages = variant.difference_db, variant.stage_ms or {}
    verdict = difference.verdict if difference else 'reference'
    informative = difference and verdict != NOT_INFORMATIVE  # any other number could mislead
    times = [[ms for name, ms in stages.items() if name.startswith(part)] for part in ('fuse', 'tsa', 'spike_encoder')]
    costs = [
        (variant.iteration_ms, '.0f'),
        *((sum(ms) if ms else None, '.1f') for ms in times),
        (variant.gmacs, '.3f'),
        (variant.parameters, ','),
        (variant.peak_memory_mib, '.0f'),
    ]
    return [
        variant.name,
        str(len(variant.runs)),
        f'{variant.psnr_db.mean:.2f}',
        f'{variant.gain_db.mean:+.2f}',
        difference.text() if informative else '',
        verdict,
        f'{variant.ssim.mean:.4f}',
        *(None if value is None else f'{value:{spec}}' for value, spec in costs),
    ]
