"""Write the speed of reading data into docs/data.md, from the record of benchmarks/data_speed.py.

Examples:
    python benchmarks/data_table.py
    python benchmarks/data_table.py --check
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from results_table import ROOT, device, update

MILLISECONDS = {
    'read_56x360x640_ms': 'decode 56x360x640 spikes',
    'read_and_voxelise_56x360x640_ms': 'decode and voxelise (K = 32) 56x360x640 spikes',
    'read_88x360x640_ms': 'decode 88x360x640 spikes',
    'index_gathering_reader_88x360x640_ms': 'the same with a reader that gathers int64 indices',
    'clip_5x256x256_ms': 'a training clip of 5x256x256 from 1280x720 frames',
    'of_which_decoding_its_10_images_ms': 'of which decoding its ten PNG frames',
}
CLIPS = {
    'clips_5x256x256_per_s_and_core': 'per second and core',
    'cores_for_16_clips_per_s': 'cores that a GPU needs which takes 16 a second',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='write nothing; exit with 1 where the tables are outdated')
    parser.add_argument('--root', type=Path, default=ROOT, help='the checkout (default: the one of this script)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    record = json.loads((args.root / 'benchmarks/records/data/speed.json').read_text(encoding='utf-8'))
    if update(args.root / 'docs/data.md', section(record), args.check, 'speed') and args.check:
        sys.exit('docs/data.md: the speed is not that of the record; run python benchmarks/data_table.py')


def section(record: dict) -> str:
    """Return both tables, and what they say about workers."""
    decoding = record['of_which_decoding_its_10_images_ms'] / record['clip_5x256x256_ms']
    return '\n'.join([
        f'Measured on {device(record["device"])}:',
        '',
        *table(('', 'ms'), record, MILLISECONDS),
        '',
        *table(('clips of 5x256x256', ''), record, CLIPS),
        '',
        f'PNG decoding of whole frames is {decoding:.0%} of a clip: spikes are read only where the crop lies.',
    ]).replace('%', ' %')  # fmt: skip


def table(headings: tuple[str, str], record: dict, labels: dict[str, str]) -> list[str]:
    """Return the lines of a table of some of the record's numbers."""
    rows = [(label, f'{record[key]:.1f}') for key, label in labels.items()]
    return [f'| {left} | {right} |' for left, right in [headings, ('---', '--:'), *rows]]


if __name__ == '__main__':
    main()
