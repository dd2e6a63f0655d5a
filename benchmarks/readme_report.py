"""Write the READMEs' report of a training: an excerpt of its text into both, its picture to docs/images/report.png.

Examples:
    python tools/train.py configs/vrt_spike_tiny.py
    python benchmarks/readme_report.py work_dirs/vrt_spike_tiny
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from writers.places import Place, changed, write

ROOT = Path(__file__).resolve().parents[1]
READMES = ('README.md', 'README_zh-CN.md')
STAGES = 8
"""How many stages of the ranking are shown."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, help='the folder of a run')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    picture = args.root / 'docs/images/report.png'
    command = [sys.executable, str(ROOT / 'tools/analyze_logs.py'), str(args.run), '--plot', str(picture)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    text = f'```text\n{excerpt(done.stdout)}\n```'
    _, texts = changed(args.root, [Place(readme, 'report', text) for readme in READMES])
    write(args.root, texts)


def excerpt(text: str) -> str:
    """Return the summary, the first stages of the ranking and two findings of a report's text."""
    lines = [line.rstrip() for line in text.splitlines()]
    last = next((i for i, line in enumerate(lines) if line.lstrip().startswith(f'{STAGES}. ')), len(lines) - 1)
    kept = [*lines[: last + 1], '  ...', '']
    if 'Findings' in lines:
        first = lines.index('Findings')
        end = next(
            (i for i in range(first, len(lines)) if lines[i].startswith('3. ') or lines[i].startswith('What')),
            len(lines),
        )
        kept += lines[first:end]
    return '\n'.join(kept).rstrip()


if __name__ == '__main__':
    main()
