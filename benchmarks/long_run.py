"""Does a training's memory grow? Train the tiny config for many iterations and read the process's memory on the way.

Examples:
    python benchmarks/long_run.py --out benchmarks/records/training/memory.json
    python benchmarks/long_run.py --iterations 2000 --config configs/vrt_spike_lite.py --out memory.json
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook

from vrtspike.cli import run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.config.hooks import remove_reporting_hooks
from vrtspike.engine.training import train
from vrtspike.registry import HOOKS
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.runtime.environment import describe_environment


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--config', default='configs/vrt_spike_tiny.py')
    parser.add_argument('--iterations', type=int, default=2000)
    parser.add_argument('--every', type=int, default=20, help='iterations from one reading to the next')
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_args()


@HOOKS.register_module()
class MemoryReadingsHook(Hook):
    """Reads what is resident on the host and allocated on the GPU."""

    readings: list[dict] = []  # noqa: RUF012 - read when the training is over

    def __init__(self, every: int) -> None:
        self.every = every

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1) % self.every == 0:
            pages = int(Path('/proc/self/statm').read_text().split()[1])
            reading = {'iteration': runner.iter + 1, 'host_mib': pages * resource.getpagesize() / 2**20}
            if torch.cuda.is_available():
                reading['gpu_mib'] = torch.cuda.memory_allocated() / 2**20
            self.readings.append(reading)


def growth(readings: list[dict], key: str) -> float:
    """Return MiB per 1,000 iterations: the slope of the readings' second half, after buffers have found their size."""
    later = readings[len(readings) // 2 :]
    slope = np.polyfit([reading['iteration'] for reading in later], [reading[key] for reading in later], 1)[0]
    return float(slope) * 1000


def main() -> None:
    args = parse_args()
    config = load_config(args.config, overrides={'train_cfg.max_iters': args.iterations})
    remove_reporting_hooks(config)
    config.default_hooks.memory_readings = dict(type='MemoryReadingsHook', every=args.every)
    with tempfile.TemporaryDirectory() as folder:
        runner = train(config, work_dir=folder)
    readings = MemoryReadingsHook.readings
    keys = [key for key in readings[0] if key != 'iteration']
    record = dict(
        config=Path(args.config).stem,
        iterations=args.iterations,
        growth_mib_per_1000_iterations={key.removesuffix('_mib'): growth(readings, key) for key in keys},
        readings=readings,
        **describe_environment(next(runner.model.parameters()).device),
    )
    with written_aside(args.out) as aside:
        aside.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    print(json.dumps(record['growth_mib_per_1000_iterations']), 'written to', args.out)


if __name__ == '__main__':
    run_tool(main)
