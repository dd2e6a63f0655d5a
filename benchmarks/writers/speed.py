"""Ours against the published code, and growth with the size of clips, in docs/speed.md.

Records are those of benchmarks/vs_upstream.py and benchmarks/growth.py in benchmarks/records/speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from writers.places import Place
from writers.wording import measured_on, read_records, table

PAGE = 'docs/speed.md'
NO_RECORD = 'No record yet.'
CALLS = {
    'forward_fp32': 'forward, float32',
    'forward_bf16': 'forward, bfloat16',
    'train_fp32': 'training step, float32',
    'train_bf16': 'training step, bfloat16',
}
MEMORY = {'plain': 'peak memory of a training step', 'checkpointed': 'the same, both sides checkpointing all'}
Record = dict[str, Any]


def places(root: Path) -> list[Place]:
    records = list(read_records(root / 'benchmarks/records/speed').values())
    texts = {
        'vs_upstream': [against_published(record) for record in records if record['kind'] == 'vs_upstream'],
        'growth': [growth(record) for record in records if record['kind'] == 'growth'],
    }
    return [Place(PAGE, name, '\n\n'.join(found) or NO_RECORD) for name, found in texts.items()]


def against_published(record: Record) -> str:
    """Return one record's rows: both sides' time or memory, the ratio, and how far their results are apart."""
    headings = ('', 'pixels', 'published', 'ours', 'ratio', 'largest difference of the output')
    cells = [row for found in record['rows'] for row in published_cells(found)]
    loads = [load for row in record['rows'] for load in row['load_average']]
    return (
        f'{record["frames"]} frames, the network of the released deblurring weights ({measured_on(record)}; load '
        f'average {min(loads):.1f} to {max(loads):.1f}):\n\n{table([headings, *cells], "llrrrr")}'
    )


def published_cells(row: Record) -> Iterable[tuple[str, ...]]:
    """Yield the table's rows for one row of a record; the one of memory has two."""
    pixels = f'{row["size"]} x {row["size"]}'
    if row['row'] == 'memory':
        for key, label in MEMORY.items():
            published, ours = (row[f'{side}_{key}_mib'] for side in ('published', 'ours'))
            yield label, pixels, f'{published:,.0f} MiB', f'{ours:,.0f} MiB', f'{ours / published:.2f}x', ''
        return
    published, ours = (f'{row[f"{side}_ms"]["median"]:,.0f} ms' for side in ('published', 'ours'))
    ratio = row['speedup']
    speedup = f'{ratio["median"]:.2f}x ({ratio["min"]:.2f}–{ratio["max"]:.2f})'
    yield CALLS[row['row']], pixels, published, ours, speedup, f'{row["agreement"]["output_max_relative"]:.1e}'


def growth(record: Record) -> str:
    """Return time and memory of a training step by the size of the clip, and the exponents of time."""
    rows = [('clip', 'ms a step', 'ms per megapixel', 'peak MiB')]
    for point in (point for row in record['rows'] for point in row['points']):
        _, frames, height, width = point['shape']
        each = point['step_ms'] / (frames * height * width) * 1e6
        size, memory = f'{frames} x {height} x {width}', point['peak_memory_mib']
        rows.append((size, f'{point["step_ms"]:,.0f}', f'{each:,.0f}', f'{memory:,.0f}'))
    exponents = ', '.join(f'{row["time_exponent"]:.2f} over {row["row"]}' for row in record['rows'])
    return (
        f'A training step of `{record["config"]}` ({measured_on(record)}), time to the power of {exponents}:\n\n'
        f'{table(rows, "lrrr")}'
    )
