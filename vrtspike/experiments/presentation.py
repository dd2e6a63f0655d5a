"""The table and the plot of an ablation's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vrtspike.experiments.record import AblationRecord, VariantRecord
from vrtspike.experiments.statistics import NOT_INFORMATIVE, Difference
from vrtspike.reporting.table import Column, Table
from vrtspike.runtime.atomic_write import atomic_write

COLUMNS = (
    'variant',
    'seeds',
    'PSNR dB',
    'gain dB',
    'difference dB [95 %]',
    Column('verdict', 'left'),
    'SSIM',
    'ms / iteration',
    'fusion ms',
    'TSA ms',
    'encoder ms',
    'GMAC',
    'parameters',
    'peak MiB',
)


def table(record: AblationRecord) -> Table:
    """Return a row for every variant: the reference first, then by PSNR, variants without a finished run last."""
    reference, *others = record.variants
    others.sort(key=lambda variant: (variant.psnr_db.mean is None, -(variant.psnr_db.mean or 0)))
    title = f'{record.config}: {record.iterations} iterations, seeds {", ".join(map(str, record.seeds))}'
    return Table(title=title, columns=COLUMNS, rows=[_cells(variant) for variant in (reference, *others)])


def failures(record: AblationRecord) -> list[str]:
    """Return a line for every variant that failed."""
    return [f'{variant.name} failed: {variant.failure}' for variant in record.variants if variant.failure]


def plot(record: AblationRecord, path: str | Path) -> None:
    """Draw quality against time, with the intervals over the seeds, and write it to ``path``.

    Args:
        record: Of the ablation.
        path: A picture; its suffix is one that matplotlib knows.
    """
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
    stages = variant.stage_ms or {}
    return [
        variant.name,
        str(len(variant.runs)),
        f'{variant.psnr_db.mean:.2f}',
        f'{variant.gain_db.mean:+.2f}',
        *_difference(variant.difference_db),
        f'{variant.ssim.mean:.4f}',
        _number(variant.iteration_ms, '.0f'),
        _stage(stages, 'fuse'),
        _stage(stages, 'tsa'),
        _stage(stages, 'spike_encoder'),
        _number(variant.gmacs, '.3f'),
        _number(variant.parameters, ','),
        _number(variant.peak_memory_mib, '.0f'),
    ]


def _difference(found: Difference | None) -> tuple[str, str]:
    """Return the difference and its verdict; without the number if it is not informative and could mislead."""
    if found is None:
        return '', 'reference'
    if found.verdict == NOT_INFORMATIVE:
        return '', NOT_INFORMATIVE
    return f'{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]', found.verdict


def _stage(stages: Mapping[str, float], prefix: str) -> str | None:
    """Return the milliseconds of all stages whose names begin with ``prefix``."""
    found = [value for name, value in stages.items() if name.startswith(prefix)]
    return f'{sum(found):.1f}' if found else None


def _number(value: float | None, spec: str) -> str | None:
    return None if value is None else f'{value:{spec}}'
