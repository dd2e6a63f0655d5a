"""What the instrument costs: training iterations with and without it, in turn, in one process.

Every pair is a block of iterations in which the first is measured and written down, as StageCostHook does it, and a
block with no instrument at all, in random order on the same batch. Reported are the median of the paired ratios with
its bootstrap interval, and the host's time inside the instrument. Exit status 1 where the upper bound exceeds 1.02 or
the host's time 1 % of the block.

Examples:
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_tiny.py
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_tiny.py --interval 1 --pairs 60
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_fast.py --pairs 40 --json fast.json
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np
import torch
from mmengine.runner import Runner

from vrtspike.cli import add_config_arguments, config_arguments, run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.environment import describe_environment
from vrtspike.files import written_aside
from vrtspike.profiling.records import sample_record
from vrtspike.profiling.sampler import StageSampler

MAX_RATIO, MAX_HOST_SHARE = 1.02, 0.01


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--interval', type=int, default=10, help="iterations of a block (default: the hook's, 10)")
    parser.add_argument('--pairs', type=int, default=10, help='pairs of blocks (default: 10)')
    parser.add_argument('--warmup', type=int, default=5, help='iterations before them (default: 5)')
    parser.add_argument('--json', metavar='FILE', help='write the record to FILE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(**config_arguments(args), cpu_overrides=not torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as folder:
        config.work_dir = folder
        record = measure(config, args.pairs, args.warmup, args.interval)
    record = {'benchmark': 'stage_cost_overhead', 'config': Path(args.config).stem, **record}
    print(json.dumps(record, indent=2))
    if args.json:
        with written_aside(args.json) as aside:
            aside.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
    sys.exit(record['ratio_p97_5'] > MAX_RATIO or record['host_share'] > MAX_HOST_SHARE)


def measure(config, pairs: int, warmup: int, interval: int) -> dict:
    """Return the record of a benchmark."""
    runner = Runner.from_cfg(config)
    model = runner.model.train()
    wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    batch = next(iter(runner.build_dataloader(config.train_dataloader)))
    for _ in range(warmup):
        iterate(model, wrapper, batch)
    rng, ratios, on_ms, host_ms = random.Random(0), [], [], []
    with open(Path(config.work_dir, 'stage_costs.jsonl'), 'w', encoding='utf-8') as file:
        for _ in range(pairs):
            first_plain = rng.random() < 0.5
            off = plain(model, wrapper, batch, interval) if first_plain else None
            on, host = measured(model, wrapper, batch, file, interval)
            off = off or plain(model, wrapper, batch, interval)
            ratios.append(on / off)
            on_ms.append(on)
            host_ms.append(host)
    low, high = bootstrap_median(ratios)
    return {
        'pairs': pairs,
        'interval': interval,
        'iteration_ms_median': median(on_ms) / interval,
        'ratio_median': median(ratios),
        'ratio_p2_5': low,
        'ratio_p97_5': high,
        'host_ms_median': median(host_ms),
        'host_share': median(host / ms for host, ms in zip(host_ms, on_ms, strict=True)),
        **describe_environment(next(model.parameters()).device),
    }


def plain(model, wrapper, batch: dict, interval: int) -> float:
    """Return the milliseconds of a block without the instrument."""
    wait()
    start = time.perf_counter()
    for _ in range(interval):
        iterate(model, wrapper, batch)
    wait()
    return (time.perf_counter() - start) * 1e3


def measured(model, wrapper, batch: dict, file: IO[str], interval: int) -> tuple[float, float]:
    """Return the milliseconds of a block with the instrument, and those the host spent inside of it."""
    with StageSampler(model) as sampler:
        inside = HostTime(sampler)
        wait()
        start = time.perf_counter()
        sampler.start()
        sampler.batch_arrived()
        iterate(model, wrapper, batch, sampler)
        inside.begin()
        sampler.stop(iteration=1, clips=len(batch['blur']), frames=batch['blur'].shape[:2].numel())
        inside.end()
        for _ in range(interval - 1):
            iterate(model, wrapper, batch)
        wait()
        inside.begin()
        for sample in sampler.finished():
            file.write(json.dumps(sample_record(sample)) + '\n')
        inside.end()
        return (time.perf_counter() - start) * 1e3, inside.ms


class HostTime:
    """Sums up the host's time inside a sampler's timer."""

    def __init__(self, sampler: StageSampler) -> None:
        self.ms = 0.0
        timer = sampler.timer
        for name in ('forward_begins', 'forward_ends', 'backward_begins', 'backward_ends', 'rebase', 'start'):
            setattr(timer, name, self.timed(getattr(timer, name)))

    def timed(self, method):
        def run(*args):
            self.begin()
            method(*args)
            self.end()

        return run

    def begin(self) -> None:
        self.began = time.perf_counter()

    def end(self) -> None:
        self.ms += (time.perf_counter() - self.began) * 1e3


def iterate(model, wrapper, batch: dict, sampler: StageSampler | None = None) -> None:
    """Train one iteration, telling ``sampler`` what StageCostHook tells it."""
    with wrapper.optim_context(model):
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
    loss, _ = model.parse_losses(losses)
    wrapper.backward(wrapper.scale_loss(loss))
    if sampler:
        sampler.backward_over()
    wrapper.step()
    wrapper.zero_grad()
    if sampler:
        sampler.optimizer_over()


def bootstrap_median(values: list[float], draws: int = 10_000) -> tuple[float, float]:
    """Return the 95 % interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (draws, len(values))), axis=1)
    return tuple(float(q) for q in np.quantile(medians, (0.025, 0.975)))


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == '__main__':
    run_tool(main)
