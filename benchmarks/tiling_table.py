"""Write what tiling costs the tiny network into docs/restore.md, from two results of tools/test.py.

benchmarks/zoo/tiny.json has the clips restored whole, benchmarks/tiling/tiny_tile64.json in tiles:

    python tools/test.py configs/vrt_spike_tiny.py CHECKPOINT --tile 64 --overlap 16

Examples:
    python benchmarks/tiling_table.py
    python benchmarks/tiling_table.py --check
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from results_table import update

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where the page is out of date')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    whole, tiled = (
        json.loads((args.root / 'benchmarks' / name).read_text(encoding='utf-8'))
        for name in ('zoo/tiny.json', 'tiling/tiny_tile64.json')
    )
    if whole['checkpoint_sha256'] != tiled['checkpoint_sha256']:
        sys.exit('benchmarks/zoo/tiny.json and benchmarks/tiling/tiny_tile64.json are of different checkpoints')
    if update(args.root / 'docs/restore.md', table(whole, tiled), args.check, 'tiling') and args.check:
        sys.exit('docs/restore.md: the tiling table is not that of the records; run python benchmarks/tiling_table.py')


def table(whole: dict, tiled: dict) -> str:
    """Return the PSNR of every clip, whole and in tiles, and of their mean."""
    _, height, width = tiled['tiling']['tile']
    overlap = tiled['tiling']['overlap'][1]
    pairs = [(a['clip'], a, b) for a, b in zip(whole['clips'], tiled['clips'], strict=True)]
    pairs.append(('mean', whole['mean_of_clips'], tiled['mean_of_clips']))
    rows = [('clip', 'whole dB', f'tiles of {height} x {width}, --overlap {overlap}, dB', 'difference dB')]
    rows.append(('---', '--:', '--:', '--:'))
    for name, a, b in pairs:
        before, after = a['psnr_db'], b['psnr_db']
        rows.append((name, f'{before:.3f}', f'{after:.3f}', f'{after - before:+.3f}'))
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


if __name__ == '__main__':
    main()
