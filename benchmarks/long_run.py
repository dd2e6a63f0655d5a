"""Measure whether the memory of a training grows: train for many iterations and sample the memory of the process.

Examples:
    python benchmarks/long_run.py --out benchmarks/records/training/memory.json
    python benchmarks/long_run.py --iterations 2000 --config configs/vrt_spike_lite.py --out memory.json
"""

from __future__ import annotations

import argparse
import json
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
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.device import MIB, used_memory
from vrtspike.runtime.environment import describe_environment


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--config', default='configs/vrt_spike_tiny.py')
    parser.add_argument('--iterations', type=int, default=2000)
    parser.add_argument('--every', type=int, default=20, help='iterations between two readings')
    parser.add_argument('--out', required=True, metavar='JSON')
    return parser.parse_args()


@HOOKS.register_module()
class MemoryReadingsHook(Hook):
    """Samples the resident memory of the host and the allocated memory of the GPU."""

    def __init__(self, every: int) -> None:
        self.every, self.readings = every, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if (runner.iter + 1) % self.every == 0:
            reading = {'iteration': runner.iter + 1, 'host_mib': used_memory(torch.device('cpu')) / MIB}
            if torch.cuda.is_available():
                reading['gpu_mib'] = used_memory(torch.device('cuda')) / MIB
            self.readings.append(reading)


def growth(readings: list[dict], key: str) -> float:
    """Return MiB per 1,000 iterations: the slope over the second half, when buffers have reached their size."""
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
    readings = next(hook for hook in runner.hooks if isinstance(hook, MemoryReadingsHook)).readings
    keys = [key for key in readings[0] if key != 'iteration']
    record = dict(
        config=Path(args.config).stem,
        iterations=args.iterations,
        growth_mib_per_1000_iterations={key.removesuffix('_mib'): growth(readings, key) for key in keys},
        readings=readings,
        **describe_environment(next(runner.model.parameters()).device),
    )
    write_json(args.out, record)
    print(json.dumps(record['growth_mib_per_1000_iterations']), 'written to', args.out)


if __name__ == '__main__':
    run_tool(main)
