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
CALLS = {'forward': 'forward', 'train': 'training step'}
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
    """Return one record's rows: all sides' time or memory, the ratios, and how far their results are apart."""
    loads = [load for row in record['rows'] for load in row['load_average']]
    timed = [cells for row in record['rows'] if row['row'] != 'memory' for cells in timed_cells(row)]
    held = [cells for row in record['rows'] if row['row'] == 'memory' for cells in memory_cells(row)]
    kept = any(len(cells) > len(TIMED) for cells in timed)
    tables = []
    if timed:
        tables.append(table([TIMED_KEPT if kept else TIMED, *timed], 'llrrrr' + 'rr' * kept))
    if held:
        tables.append(table([('', 'pixels', 'published', 'ours', 'ratio'), *held], 'llrrr'))
    return (
        f'{record["frames"]} frames, the network of the released deblurring weights ({measured_on(record)}; load '
        f'average {min(loads):.1f} to {max(loads):.1f}):\n\n' + '\n\n'.join(tables)
    )


TIMED = ('', 'pixels', 'published', 'ours', 'ratio', 'largest difference of the output')
TIMED_KEPT = (*TIMED, 'published, memory kept', 'ratio to it')


def timed_cells(row: Record) -> Iterable[tuple[str, ...]]:
    """Yield the table's rows for one timed row of a record, one for each precision of ours."""
    medians = {name: f'{found["median"]:,.0f} ms' for name, found in row['medians_ms'].items()}
    for precision, ratios in row['speedups'].items():
        published, *kept = ((medians[name], spread_of(ratio)) for name, ratio in ratios.items())
        difference = f'{row["agreement"][precision]["output_max_relative"]:.1e}'
        label, pixels = f'{CALLS[row["row"]]}, {precision}', f'{row["size"]} x {row["size"]}'
        yield label, pixels, published[0], medians[precision], published[1], difference, *sum(kept, ())


def spread_of(ratio: dict[str, float]) -> str:
    """Return a ratio with the range of its rounds."""
    return f'{ratio["median"]:.2f}x ({ratio["min"]:.2f}–{ratio["max"]:.2f})'


def memory_cells(row: Record) -> Iterable[tuple[str, ...]]:
    """Yield the table's rows for the peak memory of a training step."""
    for key, label in MEMORY.items():
        published, ours = (row[f'{side}_{key}_mib'] for side in ('published', 'ours'))
        pixels = f'{row["size"]} x {row["size"]}'
        yield label, pixels, f'{published:,.0f} MiB', f'{ours:,.0f} MiB', f'{ours / published:.2f}x'


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
