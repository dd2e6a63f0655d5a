"""Measure how time and memory of a training iteration grow with the size and the frames of a clip.

Examples:
    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 64 128 256 512 --frames 2 6 12 24 --json growth.json
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from vrtspike.cli import run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--config', default='configs/vrt_spike_tiny.py', help='(default: configs/vrt_spike_tiny.py)')
    parser.add_argument('--sizes', nargs='+', type=int, default=[64, 128, 256], help='pixels a side, at 4 frames')
    parser.add_argument('--frames', nargs='+', type=int, default=[2, 4, 8], help='frames, at the smallest size')
    parser.add_argument('--rounds', type=int, default=3, help='timed steps of each (default: 3)')
    parser.add_argument('--json', type=Path, metavar='F', help='write the record there')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.pairs import interleaved_ms, load_average
    from vrtspike.benchmarking.peak_memory import memory_in_new_process
    from vrtspike.benchmarking.training_step import training_step
    from vrtspike.config import load_config
    from vrtspike.runtime.device import chosen_device
    from vrtspike.runtime.environment import describe_environment

    device = chosen_device()
    config = load_config(args.config)
    series = {
        'pixels': [(1, 4, size, size) for size in args.sizes],
        'frames': [(1, frames, args.sizes[0], args.sizes[0]) for frames in args.frames],
    }
    record = {'kind': 'growth', **describe_environment(device), 'config': args.config, 'rows': []}
    for name, shapes in series.items():
        times = interleaved_ms({s: training_step(config, s, device) for s in shapes}, args.rounds, device)
        peaks = {shape: memory_in_new_process(config, shape, device) for shape in shapes}
        points = [
            dict(shape=shape, step_ms=min(ms), times_ms=ms, peak_memory_mib=peaks[shape]) for shape, ms in times.items()
        ]
        row = {'row': name, 'time_exponent': exponent(points), 'points': points, 'load_average': load_average()}
        record['rows'].append(row)
        print(json.dumps(row), flush=True)
    if args.json:
        write_json(args.json, record)


def exponent(points: list[dict]) -> float:
    """Return the slope of log time over log size between the first and the last point; 1 is linear growth."""
    first, last = points[0], points[-1]
    growth = math.prod(last['shape']) / math.prod(first['shape'])
    return math.log(last['step_ms'] / first['step_ms']) / math.log(growth)


if __name__ == '__main__':
    run_tool(main)
