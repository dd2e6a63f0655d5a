"""The tables of the ablations in docs/ablation.md and the plugins' READMEs, from their records.

A record is what tools/ablate.py --json wrote, kept as benchmarks/ablations/<name>.json beside its <name>.yaml.
"""

from __future__ import annotations

import re
from pathlib import Path

from vrtspike.experiments.presentation import markdown
from writers.places import Place, pages
from writers.wording import measured_on, read_record

# The name of a record, and of the variant that stands alone beside the reference.
MARKER = re.compile(r'<!-- (ablation (\w+)(?: (\w+))?):begin -->')


def places(root: Path) -> list[Place]:
    return [
        Place(page.relative_to(root).as_posix(), part, section(root, name, variant))
        for page in pages(root)
        for part, name, variant in MARKER.findall(page.read_text(encoding='utf-8'))
    ]


def section(root: Path, name: str, variant: str) -> str:
    """Return the table of a record, or of one variant, and what was trained where; a sentence without a record."""
    path = root / f'benchmarks/ablations/{name}.json'
    if not path.is_file():
        return f'\nNo record yet: `benchmarks/ablations/{name}.yaml` was not trained to its end.\n'
    record = read_record(path)
    if variant:
        record['variants'] = [each for each in record['variants'] if each['name'] in ('reference', variant)]
    seeds = ', '.join(map(str, record['seeds']))
    how = f'`{record["config"]}`, {record["iterations"]} iterations, seeds {seeds}'
    return f'\n{markdown(record)}\n\n{how}; {measured_on(record)}.\n'
