"""Make training data from a video: blurred frames, sharp frames and simulated spikes, in the processed layout.

If a run was interrupted, run the same command again to resume it. For a data set of several videos of one size, run it
for each video with the same --out.

Examples:
    python tools/simulate_spikes.py street.mp4 --out data/mine
    python tools/simulate_spikes.py holdout.mp4 --out data/mine --split val
    python tools/simulate_spikes.py frames_240fps/ --out data/mine --frames-per-exposure 8 --interpolation none
    python tools/simulate_spikes.py street.mp4 --out data/noisy --threshold 2 --noise 0.001 --dead-time 1 --reset zero
    python tools/simulate_spikes.py street.mp4 --out data/instants --sharp-instants 0 0.25 0.5 0.75 1
    python tools/train.py configs/vrt_spike_baseline.py --cfg-options data.type=ProcessedClips data.root=data/mine
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('video', type=Path, help='a video that OpenCV can read, or a folder of frames')
    parser.add_argument('--out', type=Path, required=True, metavar='ROOT', help='the data set, created if absent')
    parser.add_argument('--split', choices=['train', 'val'], default='train')
    parser.add_argument('--name', help="name of the sequence (default: the video's name)")
    parser.add_argument('--frames-per-exposure', type=int, help='frames in one exposure (default: those of 1/30 s)')
    parser.add_argument('--steps-per-frame', type=int, help='spike-camera steps in one exposure (default: 56)')
    parser.add_argument(
        '--interpolation', choices=['flow', 'linear', 'none'], help='of light between frames (default: flow)'
    )
    parser.add_argument(
        '--light', choices=['linear', 'encoded'], help='decode sRGB, or use values as light (default: linear)'
    )
    parser.add_argument('--threshold', type=float, help='charge at which a pixel fires (default: 1)')
    parser.add_argument('--ratio', dest='rgb_per_spike_pixel', type=int, help='RGB pixels per spike pixel (default: 2)')
    parser.add_argument(
        '--reset', choices=['subtract', 'zero', 'modulo'], help='the charge after a spike (default: subtract)'
    )
    parser.add_argument('--noise', type=float, help='false spikes per pixel and step (default: 0)')
    parser.add_argument('--dead-time', type=int, help='steps for which a pixel is blind after a spike (default: 0)')
    parser.add_argument('--seed', type=int, help='seed of initial charges and noise (default: 0)')
    parser.add_argument(
        '--sharp-instants',
        type=float,
        nargs='+',
        metavar='INSTANT',
        help='also write sharp frames of these instants, from 0, the start of the exposure, to 1 (default: its middle)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from dataclasses import fields

    from vrtspike.datasets.io.video import open_frames
    from vrtspike.datasets.simulation.from_video import (
        SimulationSettings,
        default_frames_per_exposure,
        simulate_sequence,
    )
    from vrtspike.runtime.progress import show_task, step_progress

    given = {field.name: getattr(args, field.name) for field in fields(SimulationSettings)}
    given = {name: value for name, value in given.items() if value is not None}
    if 'frames_per_exposure' not in given:
        given['frames_per_exposure'] = default_frames_per_exposure(open_frames(args.video).fps)
    if 'sharp_instants' in given:
        given['sharp_instants'] = tuple(given['sharp_instants'])
    settings = SimulationSettings(**given)
    name = args.name or (args.video.resolve().name if args.video.is_dir() else args.video.stem)
    with step_progress() as bar:
        progress = show_task(bar, 'simulating exposures')
        folder = simulate_sequence(args.video, args.out, args.split, name, settings, progress)
    count = sum(1 for _ in (folder / 'spike').iterdir())
    print(
        f'{folder}: {count} frames, each of {settings.frames_per_exposure} frames of the video and '
        f'{settings.steps_per_frame} steps of the spike camera'
    )


if __name__ == '__main__':
    run_tool(main)
