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

from vrtspike.cli import run_tool, tool_parser
from vrtspike.errors import VrtSpikeError
from vrtspike.files import written_aside

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.epilog = '\n'.join(['writers:', *(f'  {name:10} {what}' for name, what in WRITERS.items()), '', parser.epilog])
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a page is out of date')
    parser.add_argument('--only', nargs='+', choices=WRITERS, default=list(WRITERS), metavar='WRITER', help='leave out '
                        'the other writers')  # fmt: skip
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    stale, texts = [], {}
    for writer in track(args.only, 'pages'):
        for place in places(writer, args.root):
            old = texts[place.page] if place.page in texts else read(args.root / place.page)
            texts[place.page] = place.put(old)
            if texts[place.page] != old:
                stale.append(place)
    if args.check and stale:
        raise VrtSpikeError('\n'.join(['not what the records say:', *map(str, stale), 'run python benchmarks/pages.py']))
    for page in {place.page for place in stale}:
        with written_aside(args.root / page) as aside:
            aside.write_text(texts[page], encoding='utf-8')


def read(page: Path) -> str:
    """Return the text of a page; nothing where there is none yet."""
    return page.read_text(encoding='utf-8') if page.is_file() else ''


if __name__ == '__main__':
    run_tool(main)
