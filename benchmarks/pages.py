"""Write the generated pages: READMEs' results and every page of docs that shows what was measured or counted.

The source of a page is its Jinja2 template in benchmarks/templates; numbers come from the records in benchmarks, or
are counted from the code. READMEs get their results between <!-- results:begin --> and <!-- results:end -->. Nothing
is written where anything is wrong. docs/troubleshooting.md and docs/vrt.md take a minute each.

Examples:
  python benchmarks/pages.py
  python benchmarks/pages.py --check
  python benchmarks/pages.py --only README.md docs/guide.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rendering.render import PageRenderer, page_names, read_page
from rich.progress import track

from vrtspike.cli import run_tool, tool_parser
from vrtspike.errors import VrtSpikeError
from vrtspike.runtime.atomic_write import write_text

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    pages = page_names(ROOT)
    parser.epilog = '\n  '.join(['pages:', *pages]) + f'\n\n{parser.epilog}'
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where a page is out of date')
    parser.add_argument('--only', nargs='+', choices=pages, default=pages, metavar='PAGE', help='these alone')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    renderer = PageRenderer(args.root)
    texts = {page: renderer.render(page) for page in track(args.only, 'pages')}
    outdated = [page for page, text in texts.items() if text != read_page(args.root, page)]
    if args.check and outdated:
        lines = ['out of date:', *(f'  {page}' for page in outdated), 'run python benchmarks/pages.py']
        raise VrtSpikeError('\n'.join(lines))
    for page in outdated:
        write_text(args.root / page, texts[page])


if __name__ == '__main__':
    run_tool(main)
