"""What tools/analyze_logs.py says of a training of the tiny network, an excerpt in both READMEs.

The record is benchmarks/records/analysis/tiny.json, which the README's command writes with --json.
"""

from __future__ import annotations

import re
from pathlib import Path

from vrtspike.reporting.terminal import report_text
from writers.places import Place
from writers.wording import read_record

READMES = ('README.md', 'README_zh-CN.md')
STAGES = 8
"""How many stages of the ranking are shown."""
FINDINGS = 2
"""And how many findings."""


def places(root: Path) -> list[Place]:
    text = excerpt(report_text(read_record(root / 'benchmarks/records/analysis/tiny.json')))
    return [Place(readme, 'report', f'```text\n{text}\n```') for readme in READMES]


def excerpt(text: str) -> str:
    """Return the summary, the first stages of the ranking and the first findings of a report's text."""
    lines = [line.rstrip() for line in text.splitlines()]
    ranked = [i for i, line in enumerate(lines) if re.match(r' +\d+\. ', line)]
    kept = lines[: max(ranked[:STAGES], default=0) + 1] + ['  ...'] * (len(ranked) > STAGES) + ['']
    if 'Findings' in lines:
        first = lines.index('Findings')
        ends = (f'{FINDINGS + 1}. ', 'What')
        kept += lines[first : next((i for i in range(first, len(lines)) if lines[i].startswith(ends)), None)]
    return '\n'.join(kept).rstrip()
