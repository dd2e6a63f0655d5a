"""Measure the peak memory of a training iteration by precision, batch size and gradient accumulation.

Each batch is measured in a process of its own: resident memory on a CPU, allocated memory on a GPU. docs/guide.md shows
the record; see benchmarks/guide/claims.yaml.

Examples:
  python benchmarks/guide_memory.py --shape 5 48 48 --json benchmarks/records/guide/cpu_eight_memory.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import track

from vrtspike.cli import add_device_argument, run_tool, tool_parser
from vrtspike.runtime.atomic_write import write_json

BASELINE, AMP = 'configs/vrt_spike_baseline.py', 'configs/vrt_spike_amp.py'
BATCHES = {
    'baseline': (BASELINE, 1, 1),
    'two_clips': (BASELINE, 2, 1),
    'amp_two_clips': (AMP, 2, 1),
    'one_clip_accumulated': (BASELINE, 1, 2),
}
"""By name: the config, the batch size, and how many batches one optimizer step accumulates."""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    shape = dict(nargs=3, type=int, default=[5, 48, 48], metavar=('T', 'H', 'W'))
    parser.add_argument('--shape', **shape, help='frames, height and width of a clip (default: 5 48 48)')
    add_device_argument(parser)
    parser.add_argument('--json', required=True, type=Path, metavar='F', help='the record to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from vrtspike.benchmarking.pairs import load_average
    from vrtspike.benchmarking.peak_memory import memory_in_new_process
    from vrtspike.config import load_config
    from vrtspike.runtime.device import chosen_device
    from vrtspike.runtime.environment import describe_environment

    device = chosen_device(args.device)
    rows = []
    for name, (path, clips, batches) in track(BATCHES.items(), 'memory'):
        before = load_average()
        peak = memory_in_new_process(load_config(path), (clips, *args.shape), device, batches)
        row = dict(name=name, config=path, clips=clips, batches=batches, peak_memory_mib=peak)
        rows.append(row | {'load_average': [before, load_average()]})
    record = {'kind': 'memory', **describe_environment(device), 'shape': args.shape, 'rows': rows}
    write_json(args.json, record)
    print(*(f'{row["name"]:22}{row["peak_memory_mib"]:8,.0f} MiB' for row in rows), sep='\n')


if __name__ == '__main__':
    run_tool(main)
