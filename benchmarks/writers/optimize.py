"""What tools/optimize.py found for the tiny network, in docs/optimize.md.

The record is the report.json of ``tools/optimize.py configs/vrt_spike_tiny.py``, kept as
benchmarks/records/optimize/tiny.json.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from vrtspike.tuner.report import as_markdown, sections
from vrtspike.tuner.words import word
from writers.places import Place
from writers.wording import measured_on, read_record

SHOWN = ('summary', 'remedies', 'together', 'output')


def places(root: Path) -> list[Place]:
    path = root / 'benchmarks/records/optimize/tiny.json'
    return [Place('docs/optimize.md', 'tiny', excerpt(read_record(path)) if path.is_file() else 'No record yet.')]


def excerpt(found: dict) -> str:
    """Return some sections of a report, as they read in its own report.md."""
    parts = [f'`{shlex.join(found["command"])}` ({measured_on(found)}):']
    for key, body in sections(found, 'en'):
        if key in SHOWN:
            parts += [f'**{word(key, "en")}**', *map(as_markdown, body)]
    return '\n\n'.join(part.rstrip() for part in parts)
