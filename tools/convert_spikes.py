"""Convert spike files between formats without loss: .dat, .npy, .npz, .mat and .h5, chosen by the suffixes.

SOURCE is a file, or a folder whose spike files are all converted, its subfolders included. Files are read and written a
few steps at a time, and what was written is read back and compared. Arrays are (steps, height, width) uint8 of 0 and 1.
The size comes from --size, from a config.yaml nearby, or from the array. A .dat file cannot hold sizes whose bits do
not fill whole bytes, such as 250 x 250; --keep-columns makes them fit.

Examples:
    python tools/convert_spikes.py recording.npz recording.dat
    python tools/convert_spikes.py recording.dat recording.h5 --size 250 416 --keep-columns 400
    python tools/convert_spikes.py other.dat ours.dat --size 250 400 --bit-order big --no-flipped
    python tools/convert_spikes.py DATA/train/street/spike arrays --to .npz
    python tools/convert_spikes.py matlab.mat recording.npy --axes HWT
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import add_layout_arguments, layout_arguments, run_tool, tool_parser
from vrtspike.errors import ConfigError, DataError


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('source', type=Path, help='a spike file, or a folder of them')
    parser.add_argument('target', type=Path, help='the file to write, or the folder')
    parser.add_argument('--to', metavar='SUFFIX', help="suffix of the files of a folder, as in '--to .npz'")
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='size of the spikes in SOURCE')
    parser.add_argument('--keep-columns', type=int, metavar='N', help='columns to keep, as in 400 of 416')
    add_layout_arguments(parser)
    parser.add_argument('--to-bit-order', choices=['little', 'big'], help='of a .dat target (default: little)')
    parser.add_argument(
        '--to-flipped',
        action=argparse.BooleanOptionalAction,
        help='store the rows of a .dat target bottom-up (default: yes)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    import warnings

    from vrtspike.datasets.sources.description import describe_spikes
    from vrtspike.datasets.spike_conversion import convert_spikes
    from vrtspike.datasets.spike_layout import SpikeLayout
    from vrtspike.datasets.spike_layout_check import bit_order_problem
    from vrtspike.runtime.progress import show_task, step_progress

    pairs = pairs_of(args)
    layout, to = SpikeLayout(**layout_arguments(args)), SpikeLayout(args.to_bit_order, args.to_flipped)
    size = args.size and tuple(args.size)
    shapes = set()
    with step_progress() as bar:
        for source, target in pairs:
            known = describe_spikes(source, size=size, keep_columns=args.keep_columns, layout=layout)
            if problem := bit_order_problem(source, known.stored_size, known.layout):
                warnings.warn(problem, stacklevel=1)
            shapes.add(convert_spikes(source, target, known, to, show_task(bar, source.name)))
    steps = ', '.join(str(shape[0]) for shape in sorted(shapes))
    _, height, width = next(iter(shapes))
    print(f'{args.target}: {len(pairs)} file(s) of {steps} steps, {height} x {width} spikes, read back and equal')
    if pairs[0][1].suffix.lower() == '.dat':
        print(f'a .dat file does not contain its size: config.yaml needs spike_h: {height} and spike_w: {width}')


def pairs_of(args: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return every source file with the file to write; raise an error before anything is written."""
    from vrtspike.datasets.io.listing import is_hidden
    from vrtspike.datasets.io.spike_formats import SPIKE_SUFFIXES
    from vrtspike.datasets.io.spike_writer import WRITERS

    if not args.source.exists():
        raise DataError(f'{args.source} does not exist: name a spike file, or a folder of spike files')
    if not args.source.is_dir():
        return [(args.source, args.target)]
    if args.to not in WRITERS:
        raise ConfigError(
            f'--to got {args.to}: a folder needs the suffix of its new files, one of {", ".join(WRITERS)}'
        )
    found = sorted(path for path in args.source.rglob('*') if path.suffix.lower() in SPIKE_SUFFIXES)
    found = [path.relative_to(args.source) for path in found if not is_hidden(path.name)]
    pairs = [(args.source / path, args.target / path.with_suffix(args.to)) for path in found]
    if not pairs:
        raise DataError(f'{args.source} has no files with one of the suffixes {", ".join(SPIKE_SUFFIXES)}')
    if existing := [target for _, target in pairs if target.exists()]:
        raise DataError(f'{existing[0]} exists: choose another folder, or delete it')
    return pairs


if __name__ == '__main__':
    run_tool(main)
