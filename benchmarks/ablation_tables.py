"""Write the tables of the ablations into docs/ablation.md and the plugins' READMEs, from their records.

A record is what tools/ablate.py --json wrote, kept as benchmarks/ablations/<name>.json beside its <name>.yaml.

Examples:
    python benchmarks/ablation_tables.py
    python benchmarks/ablation_tables.py --check
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from vrtspike.ablation.presentation import markdown

ROOT = Path(__file__).resolve().parents[1]
# The name of a record, and of the variant that stands alone beside the reference.
MARKED = re.compile(r'(<!-- ablation (\w+)(?: (\w+))?:begin -->\n).*?(<!-- ablation \2(?: \3)?:end -->)', re.DOTALL)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a table is out of date')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    pages = [args.root / 'docs/ablation.md', *sorted(args.root.glob('plugins/*/README.md'))]
    stale = [str(page) for page in pages if update(page, args.root, args.check)]
    if args.check and stale:
        sys.exit(
            f'{", ".join(stale)}: the tables are not those of benchmarks/ablations; run '
            'python benchmarks/ablation_tables.py'
        )


def update(page: Path, root: Path, only_check: bool) -> bool:
    """Bring the tables of a page up to date; return whether they were not."""
    old = page.read_text(encoding='utf-8')
    new = MARKED.sub(lambda match: f'{match[1]}{section(root, match[2], match[3])}{match[4]}', old)
    if new != old and not only_check:
        page.write_text(new, encoding='utf-8')
    return new != old


def section(root: Path, name: str, variant: str | None = None) -> str:
    """Return the table of a record, or of one variant, and what was trained where; a sentence without a record."""
    path = root / f'benchmarks/ablations/{name}.json'
    if not path.is_file():
        return f'\nNo record yet: `benchmarks/ablations/{name}.yaml` was not trained to its end.\n\n'
    record = json.loads(path.read_text(encoding='utf-8'))
    if variant:
        record['variants'] = [each for each in record['variants'] if each['name'] in ('reference', variant)]
    device = record['device']
    threads = f', {device["threads"]} thread(s)' if 'threads' in device else ''
    seeds = ', '.join(map(str, record['seeds']))
    how = f'`{record["config"]}`, {record["iterations"]} iterations, seeds {seeds}'
    where = f'{device["name"]}{threads}, torch {record["versions"]["torch"]}, commit {record["commit"][:8]}'
    return f'\n{markdown(record)}\n\n{how}; {where}.\n\n'


if __name__ == '__main__':
    main()
