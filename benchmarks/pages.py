"""Write every generated part of the READMEs and the docs: tables, whole pages, and single numbers in the text.

All of it comes from records, or is counted from the code. Parts stand between markers, <!-- name:begin --> and
<!-- name:end -->, numbers between <!--=name--> and <!--/-->. Nothing is written where anything is wrong.

Examples:
  python benchmarks/pages.py
  python benchmarks/pages.py --check
  python benchmarks/pages.py --only results figures
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import track
from writers import WRITERS, places
from writers.places import changed, write

from vrtspike.cli import run_tool, tool_parser
from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    writers = '\n'.join(f'  {name:10} {what}' for name, what in WRITERS.items())
    parser.epilog = f'writers:\n{writers}\n\n{parser.epilog}'
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a page is out of date')
    parser.add_argument(
        '--only', nargs='+', choices=WRITERS, default=list(WRITERS), metavar='WRITER', help='these alone'
    )
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    found = [place for writer in track(args.only, 'pages') for place in places(writer, args.root)]
    outdated, texts = changed(args.root, found)
    if not args.check:
        write(args.root, texts)
    elif outdated:
        lines = ['out of date:', *(f'  {place}' for place in outdated), 'run python benchmarks/pages.py']
        raise VrtSpikeError('\n'.join(lines))


if __name__ == '__main__':
    run_tool(main)
