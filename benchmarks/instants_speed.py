"""Restore one clip at one and at several instants of every exposure, and record the time of both.

The two are restored alternately in one process, from files to PNGs, by an untrained network of the config, which takes
as long as a trained one. ``cpu_s`` is the processor time of the process, which other jobs on the machine hardly
change; ``wall_s`` is what passed.

Examples:
    python benchmarks/instants_speed.py configs/vrt_spike_lite.py --out instants_speed.json
    python benchmarks/instants_speed.py configs/residual_cnn_instants.py --frames 5 --size 180 320 --out small.json
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vrtspike.cli import run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.datasets.spike_dat import write_spike_dat
from vrtspike.inference.files import ClipFiles, even_instants, open_clip, restore_files
from vrtspike.inference.restoring import tiling_of
from vrtspike.inference.spike_files import SpikeFileOptions
from vrtspike.registry import MODELS
from vrtspike.runtime.atomic_write import write_json, write_png
from vrtspike.runtime.environment import describe_environment
from vrtspike.testing.data_sets import DriftingPattern

STEPS = 64


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('--frames', type=int, default=30)
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--instants', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_args()


def write_clip(folder: Path, frames: int, size: tuple[int, int]) -> ClipFiles:
    """Write a drifting pattern, whose exposures follow each other, with its spikes in one file."""
    scene, spikes = DriftingPattern(size), []
    for number in range(frames):
        blur, _, exposure = scene.expose(STEPS)
        write_png(folder / 'blur' / f'{number:03d}.png', blur)
        spikes.append(exposure)
    write_spike_dat(folder / 'spikes.dat', np.concatenate(spikes))
    options = SpikeFileOptions(size=tuple(length // 2 for length in size), threshold=1.0)
    return open_clip(folder / 'blur', folder / 'spikes.dat', options)


def main() -> None:
    args = parse_args()
    config = load_config(args.config)
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    measured = {count: [] for count in (1, args.instants)}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clip = write_clip(folder, args.frames, tuple(args.size))
        torch.save(model.state_dict(), folder / 'weights.pth')
        for number in range(args.rounds):
            for count, times in measured.items():
                wall, cpu = time.perf_counter(), time.process_time()
                restore_files(
                    model,
                    config,
                    clip,
                    folder / f'out_{number}_{count}',
                    checkpoint=folder / 'weights.pth',
                    tiling=tiling_of(config),
                    instants=even_instants(count),
                )
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                spent = {'wall_s': time.perf_counter() - wall, 'cpu_s': time.process_time() - cpu}
                times.append(spent | {'peak_memory_mib': peak})
    cpu = {count: sum(each['cpu_s'] for each in times) for count, times in measured.items()}
    record = {
        'config': args.config,
        'frames': args.frames,
        'size': list(args.size),
        'restored': {str(count): times for count, times in measured.items()},
        'times_the_cost': cpu[args.instants] / cpu[1],
        **describe_environment(torch.device('cpu')),
    }
    write_json(args.out, record)
    print(f'{args.instants} instants cost {record["times_the_cost"]:.2f} times as much processor time as one')


if __name__ == '__main__':
    run_tool(main)
