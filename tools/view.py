"""Show a clip before training on it: blurred, sharp, and the spikes as TFP, as TFI and as a raster.

CLIP is the folder of a data set (choose a --sequence), the folder of one sequence in the processed layout, or a spike
file: .npy, .npz, .mat, or .dat with its --size. TFP is the spike rate over the exposure, TFI the inverse of the
interval between spikes. Writes a contact sheet with one row per frame, or a video.

Examples:
    python tools/view.py data/demo --out demo.png
    python tools/view.py data/demo/val/000_chelsea --out chelsea.gif
    python tools/view.py /data/gopro --sequence GOPR0384_11_00 --split val --first 10 --frames 8 --out clip.mp4
    python tools/view.py /data/x4k --options steps=65 threshold=2 --out x4k.png
    python tools/view.py recording.dat --size 250 400 --steps-per-frame 100 --out recording.gif
    python tools/view.py simulated.dat --size 250 400 --threshold 1.67 --light encoded --out simulated.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vrtspike.cli import (
    add_layout_arguments,
    add_light_argument,
    add_source_argument,
    layout_arguments,
    run_tool,
    tool_parser,
)
from vrtspike.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from vrtspike.datasets import Sequence


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('clip', type=Path, help='a data set, one of its sequences, or a spike file')
    parser.add_argument('--out', type=Path, required=True, help='a .png or .jpg sheet, or a .mp4 or .gif')
    parser.add_argument('--sequence', metavar='NAME', help='sequence of the data set (default: its first)')
    parser.add_argument('--split', choices=['train', 'val'], help='split of the sequence (default: either)')
    add_source_argument(parser)
    parser.add_argument('--first', type=int, default=0, help='index of the first frame (default: 0)')
    parser.add_argument('--frames', type=int, help='how many frames (default: 5 on a sheet, all in a video)')
    parser.add_argument('--fps', type=float, default=8.0, help='frames per second of a video (default: 8)')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='size of the spikes in a spike file')
    parser.add_argument('--steps-per-frame', type=int, default=56, help='steps per frame of a spike file (default: 56)')
    parser.add_argument('--first-step', type=int, default=0, help='step at which frame 0 begins (default: 0)')
    parser.add_argument(
        '--threshold', type=float, help='of the spike camera (default: from a config.yaml nearby, or 1)'
    )
    add_light_argument(parser)
    parser.add_argument(
        '--keep-columns', type=int, metavar='N', help='columns of a spike file to keep, as in 400 of 416'
    )
    add_layout_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from rich.progress import track

    from vrtspike.reporting.contact_sheets import SHEET_SUFFIXES, frame_strips, require_suffix, write_strips

    require_suffix(args.out)
    sequence = find_sequence(args)
    count = args.frames or (5 if args.out.suffix in SHEET_SUFFIXES else len(sequence.stems))
    positions = range(len(sequence.stems))[args.first : args.first + count] if args.first >= 0 else []
    if not positions:
        raise ConfigError(
            f'{sequence.name} has {len(sequence.stems)} frames; --first {args.first} --frames {count} chooses none'
        )
    write_strips(args.out, frame_strips(sequence, track(positions, description='drawing frames')), args.fps)
    print(f'{args.out}: {len(positions)} frames of {sequence.name}')


def find_sequence(args: argparse.Namespace) -> Sequence:
    """Return the sequence that the arguments select."""
    from vrtspike.datasets import detect_source

    if args.clip.is_file():
        return sequence_of_spike_file(args)
    root, name, split = args.clip, args.sequence, args.split
    if (root / 'blur').is_dir() and root.parent.name in ('train', 'val'):
        root, name, split = root.parents[1], root.name, root.parent.name
    source = detect_source(root, args.options)
    sequences = {sequence.name: sequence for sequence in list_sequences(source, split)}
    if not sequences:
        raise DataError(f'{root} has no sequences in {split or "either split"}')
    if name is not None and name not in sequences:
        raise ConfigError(f'{root} has no sequence {name!r}{did_you_mean(name, sequences)}')
    return sequences[name] if name else next(iter(sequences.values()))


def list_sequences(source: object, split: str | None) -> list[Sequence]:
    """Return the sequences of one split, or of all existing splits if ``split`` is None."""
    if split:
        return source.sequences(split)
    found, errors = [], []
    for each in ('train', 'val'):
        try:
            found += source.sequences(each)
        except DataError as error:
            errors.append(error)
    if not found and errors:
        raise errors[0]
    return found


def sequence_of_spike_file(args: argparse.Namespace) -> Sequence:
    """Return a spike file as a sequence of exposures without gaps."""
    import warnings

    import numpy as np

    from vrtspike.datasets import Sequence
    from vrtspike.datasets.io.spike_formats import count_steps
    from vrtspike.datasets.sources.description import describe_spikes
    from vrtspike.datasets.spike_layout import SpikeLayout
    from vrtspike.datasets.spike_layout_check import bit_order_problem

    known = describe_spikes(
        args.clip,
        size=args.size and tuple(args.size),
        threshold=args.threshold,
        light=args.light,
        keep_columns=args.keep_columns,
        layout=SpikeLayout(**layout_arguments(args)),
    )
    steps = count_steps(args.clip, *known.stored_size, known.layout)
    if problem := bit_order_problem(args.clip, known.stored_size, known.layout):
        warnings.warn(problem, stacklevel=2)
    if not 0 <= args.first_step < steps:
        raise ConfigError(f'--first-step got {args.first_step}, expected 0 to {steps - 1}, the last step')
    length = min(args.steps_per_frame, steps - args.first_step)
    return Sequence(
        args.clip.stem,
        None,
        None,
        args.clip,
        stems=np.array([f'{i:06d}' for i in range((steps - args.first_step) // length)]),
        spike_size=known.size,
        stored_width=known.stored_size[1],
        threshold=known.threshold or 1.0,
        light=known.light,
        layout=known.layout,
        start=args.first_step,
        steps=length,
        interval=length,
    )


if __name__ == '__main__':
    run_tool(main)
