"""The table of an ablation's record."""

from __future__ import annotations

from collections.abc import Sequence

from vrtspike.experiments.record import AblationRecord, VariantRecord
from vrtspike.experiments.statistics import NOT_INFORMATIVE
from vrtspike.reporting.table import Column, Table

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
