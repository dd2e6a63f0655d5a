"""Check a data set and show its contents: sizes, counts, lengths, thresholds, and thumbnails of its sequences.

The layout is detected unless --options names it; --options also gives the arguments of its clip source. It
lists all problems for which a training would reject the data, and then exits with 1.

Examples:
    python tools/check_data.py data/demo
    python tools/check_data.py /data/gopro --thorough --thumbnails gopro.png
    python tools/check_data.py /data/x4k --options type=X4KSpike steps=65 threshold=2
    python tools/check_data.py /data/recordings --options type=SpikeCVRecording steps_per_frame=100 train=[a,b] val=[c]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import add_source_argument, run_tool, tool_parser
from vrtspike.errors import DataError

if TYPE_CHECKING:
    from vrtspike.datasets.inventory import SplitInventory

COLUMNS = (
    'split',
    'sequences',
    'frames',
    'clips',
    'RGB',
    'spikes',
    'steps',
    'threshold',
    'light',
    'suggested',
    'spikes / step',
)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('root', type=Path, metavar='ROOT', help='the folder of the data set')
    add_source_argument(parser)
    parser.add_argument('--clip-len', type=int, default=5, help='frames per clip (default: 5)')
    parser.add_argument('--thorough', action='store_true', help='also decode every frame and every spike file')
    parser.add_argument('--thumbnails', type=Path, metavar='PATH', help='write a contact sheet, .png or .jpg')
    parser.add_argument('--max-videos', type=int, default=12, help='sequences of each split on the sheet (default: 12)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.datasets import detect_source
    from vrtspike.datasets.inventory import take_inventory
    from vrtspike.reporting.table import Table

    source = detect_source(args.root, args.options)
    splits = take_inventory(source, args.clip_len)
    if args.thorough:
        read_everything(splits)
    title = f'{args.root} as {type(source).__name__}'
    print(Table(title=title, columns=COLUMNS, rows=[cells(split, args.clip_len) for split in splits]).text())
    if any(split.suggestion for split in splits):
        print(
            "\n'suggested' is the threshold at which the first sequence's spikes are as bright as its blurred frames, "
            'for linear light and for encoded (sRGB) values used as light.'
        )
    if args.thumbnails:
        write_thumbnails(args.thumbnails, splits, args.max_videos)
    problems = [f'{split.split}: {problem}' for split in splits for problem in split.problems]
    if problems:
        listing = '\n'.join(f'  - {problem}' for problem in problems)
        raise DataError(f'the data set has {len(problems)} problem(s):\n{listing}')
    checked = 'its files' if args.thorough else 'names, lengths and first frames'
    print(f'\nNo problems in {checked}.')


def cells(found: SplitInventory, clip_len: int) -> list[object]:
    """Return a split's row of the table."""
    first = found.sequences[0] if found.sequences else None
    row = [found.split, len(found.sequences), found.frames, found.clips(clip_len), sizes(found.frame_sizes)]
    if first is None or first.spike is None:
        return row + [None] * (len(COLUMNS) - len(row))
    lengths = {sequence.steps or sequence.file_steps for sequence in found.sequences}
    row += [sizes({sequence.spike_size for sequence in found.sequences})]
    row += [', '.join(map(str, sorted(lengths))) if None not in lengths else None, f'{first.threshold:g}', first.light]
    if found.suggestion is None:
        return [*row, None, None]
    suggestion = found.suggestion
    return [*row, f'{suggestion.linear:.2f} - {suggestion.encoded:.2f}', f'{suggestion.rate:.3f}']


def sizes(found: object) -> str | None:
    """Return (height, width) pairs as text."""
    return ', '.join(f'{height} x {width}' for height, width in sorted(found)) or None


def read_everything(splits: list[SplitInventory]) -> None:
    """Decode every frame of the splits without problems; add a problem for each that cannot be read."""
    from rich.progress import Progress

    from vrtspike.datasets.inventory import damaged_frames

    intact = [split for split in splits if not split.problems]
    with Progress() as bar:
        task = bar.add_task('reading every frame', total=sum(split.frames for split in intact))
        for split in intact:
            for sequence in split.sequences:
                for problem in damaged_frames(sequence):
                    bar.advance(task)
                    if problem:
                        split.problems.append(problem)


def write_thumbnails(path: Path, splits: list[SplitInventory], limit: int) -> None:
    """Write the middle frames of the first sequences of every split that can be read."""
    from vrtspike.reporting.contact_sheets import frame_strips, same_width, write_strips

    def strips() -> Iterator:
        for split in splits:
            for sequence in [] if split.problems else split.sequences[:limit]:
                yield from frame_strips(sequence, [len(sequence.stems) // 2])

    if all(split.problems for split in splits):
        raise DataError(f'{path} was not written: {"; ".join(split.problems[0] for split in splits)}')
    write_strips(path, same_width(strips()))
    print(f'\n{path}: the middle frames of the sequences')


if __name__ == '__main__':
    run_tool(main)
