"""Measure the overhead of the instrument: training iterations with and without it, interleaved in one process.

Every round has three iterations on the same batch, in random order: one that is sampled and recorded as by
StageCostHook, one between two samples, when the hook waits, and one without the instrument. A hook that samples every
n-th iteration takes (measured + (n - 1) x waiting) / (n x without) of the time. The record holds the medians of this
ratio and of both parts over the rounds, with bootstrap intervals, and the host time spent inside the instrument. The
exit status is 1 if the upper bound exceeds 1.02 or the host time exceeds 1 % of an iteration.

Examples:
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_tiny.py
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_tiny.py --interval 1 --rounds 60
  python benchmarks/stage_cost_overhead.py configs/vrt_spike_fast.py --rounds 20 --json fast.json
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from mmengine.runner import Runner

from vrtspike.cli import add_config_arguments, config_arguments, run_tool, tool_parser
from vrtspike.config import load_config
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records.writer import line_of, sample_line
from vrtspike.runtime.atomic_write import write_json
from vrtspike.runtime.device import call_seconds, synchronize
from vrtspike.runtime.environment import describe_environment

MAX_RATIO, MAX_HOST_SHARE = 1.02, 0.01


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add_config_arguments(parser)
    parser.add_argument('--interval', type=int, default=10, help="n (default: the hook's, 10)")
    parser.add_argument('--rounds', type=int, default=40, help='rounds of three iterations (default: 40)')
    parser.add_argument('--warmup', type=int, default=5, help='iterations before them (default: 5)')
    parser.add_argument('--json', metavar='FILE', help='write the record to FILE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(**config_arguments(args), cpu_overrides=not torch.cuda.is_available())
    with tempfile.TemporaryDirectory() as folder:
        config.work_dir = folder
        record = measure(config, args.rounds, args.warmup, args.interval)
    record = {'benchmark': 'stage_cost_overhead', 'config': Path(args.config).stem, **record}
    print(json.dumps(record, indent=2))
    if args.json:
        write_json(args.json, record)
    sys.exit(record['ratio_p97_5'] > MAX_RATIO or record['host_share'] > MAX_HOST_SHARE)


def measure(config, rounds: int, warmup: int, interval: int) -> dict:
    """Return the record of a benchmark."""
    runner = Runner.from_cfg(config)
    model = runner.model.train()
    wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    batch = next(iter(runner.build_dataloader(config.train_dataloader)))
    device = next(model.parameters()).device
    plain = partial(iterate, model, wrapper, batch)
    for _ in range(warmup):
        plain()
    rng = random.Random(0)
    ms: dict[str, list[float]] = {'measured': [], 'waiting': [], 'without': []}
    host_ms = []
    with open(Path(config.work_dir, 'stage_costs.jsonl'), 'w', encoding='utf-8') as file:
        for _ in range(rounds):
            for kind in rng.sample(list(ms), len(ms)):
                if kind == 'without':
                    ms[kind].append(1e3 * call_seconds(plain, device))
                    continue
                with StageSampler(model) as sampler:
                    inside = HostTime(sampler) if kind == 'measured' else None
                    sampled = partial(sample, plain, batch, sampler, inside, file, device)
                    ms[kind].append(1e3 * call_seconds(sampled if inside else plain, device))
                    host_ms += [inside.ms] if inside else []
    measured, waiting, without = (np.array(ms[kind]) for kind in ('measured', 'waiting', 'without'))
    return {
        'rounds': rounds,
        'interval': interval,
        'iteration_ms_median': float(np.median(without)),
        **median_and_interval('ratio', (measured + (interval - 1) * waiting) / (interval * without)),
        **median_and_interval('ratio_measured', measured / without),
        **median_and_interval('ratio_waiting', waiting / without),
        'host_ms_median': float(np.median(host_ms)),
        'host_share': float(np.median(np.array(host_ms) / measured) / interval),
        **describe_environment(device),
    }


def sample(
    train: Callable[..., None],
    batch: dict,
    sampler: StageSampler,
    inside: HostTime,
    file: IO[str],
    device: torch.device,
) -> None:
    """Train one iteration that is sampled and recorded."""
    sampler.start()
    sampler.batch_arrived()
    train(sampler)
    inside.begin()
    sampler.stop(iteration=1, clips=len(batch['blur']), frames=batch['blur'].shape[:2].numel())
    synchronize(device)
    for found in sampler.finished():
        file.write(line_of(sample_line(found)))
    inside.end()


class HostTime:
    """Sums the host time spent inside the timer of a sampler."""

    def __init__(self, sampler: StageSampler) -> None:
        self.ms = 0.0
        for name in ('forward_begins', 'forward_ends', 'backward_begins', 'backward_ends', 'rebase', 'start'):
            setattr(sampler.timer, name, self.timed(getattr(sampler.timer, name)))

    def timed(self, method: Callable[..., None]) -> Callable[..., None]:
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
    """Train one iteration; ``sampler`` gets the same calls as from StageCostHook."""
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


def median_and_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Return the median and its 95 % interval under three keys."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (10_000, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return {f'{name}_median': float(np.median(values)), f'{name}_p2_5': float(low), f'{name}_p97_5': float(high)}


if __name__ == '__main__':
    run_tool(main)
