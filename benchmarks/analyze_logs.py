"""Measure how long a large log of stage costs takes to analyse, and how much memory.

This writes a log of made-up samples with every stage and part that a training records, runs tools/analyze_logs.py on
it as a user would, and prints a record: wall and processor time, and peak memory summed over all processes (shared
memory counts once for each).

Examples:
    python benchmarks/analyze_logs.py
    python benchmarks/analyze_logs.py --records 10000
    python benchmarks/analyze_logs.py --json benchmarks/records/analysis/million_samples.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from vrtspike.cli import run_tool, tool_parser, write_result
from vrtspike.runtime.device import MIB, usable_cores
from vrtspike.runtime.environment import describe_environment

ROOT = Path(__file__).resolve().parents[1]
FUSED = [name for i in range(1, 5) for name in (f'stage{i}', f'fuse{i}')]
STAGES = (
    *('data', 'spike_encoder', 'tsa', 'flow', 'input'),
    *(*FUSED, 'stage5', 'stage6', 'stage7', 'stage8', 'reconstruction'),
    *('loss', 'optimizer', 'communication', 'other'),
)
PARTS = tuple(
    f'stage{i}/{part}'
    for i in range(1, 9)
    for part in ('attention', 'mlp', *(('warp', 'offset_head', 'deform_conv', 'fusion') if i < 8 else ()))
)
DISTINCT = 512
"""Samples that are made up; the log repeats them under new iteration numbers."""


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--records', type=int, default=1_000_000, help='samples in the log (%(default)s)')
    parser.add_argument('--json', default='-', metavar='FILE', help='write the record there (default: print it)')
    parser.add_argument('--log', type=Path, help='write the log here and keep it; use it if it is there')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = args.log or Path(folder, 'stage_costs.jsonl')
        if not log.exists():
            write_log(log, args.records)
        record = {**measure(log), **describe_environment('cpu')}
    write_result(record, args.json)


def write_log(path: Path, records: int) -> None:
    """Write a log of ``records`` samples."""
    rng = random.Random(0)
    process = {'rank': 0, 'world_size': 1}
    run = {'kind': 'run', 'version': 1, **process, 'stages': STAGES, 'device': {}, 'versions': {}, 'commit': None}
    samples = [json.dumps(sample(rng), separators=(',', ':')).split('"@"') for _ in range(DISTINCT)]
    with open(path, 'w', encoding='utf-8') as file:
        file.write(json.dumps(run) + '\n')
        for i in range(records):
            before, after = samples[i % DISTINCT]
            file.write(f'{before}{i + 1}{after}\n')


def sample(rng: random.Random) -> dict:
    """Return a sample whose iteration is '@'."""
    stages = {name: phases(rng, memory=True) for name in STAGES}
    whole = sum(value for each in stages.values() for key, value in each.items() if key.endswith('_ms'))
    batch = {'iteration_ms': whole, 'clips': 1, 'frames': 5, 'loss': rng.random(), 'memory_mib': 20000.0}
    divided = {'stages': stages, 'parts': {name: phases(rng, memory=False) for name in PARTS}}
    return {'kind': 'sample', 'iteration': '@', 'rank': 0, **batch, **divided}


def phases(rng: random.Random, memory: bool) -> dict[str, float]:
    """Return made-up times and memory of one stage."""
    times = {name: round(rng.gammavariate(30, 1), 4) for name in ('forward_ms', 'recompute_ms', 'backward_ms')}
    return times | ({'peak_mib': 20000.5, 'allocated_mib': 512.25} if memory else {})


def measure(log: Path) -> dict:
    """Analyse ``log`` in a process of its own and return what that took."""
    command = [sys.executable, str(ROOT / 'tools/analyze_logs.py'), str(log), '--json', '-']
    before, start = os.times(), time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {'OMP_NUM_THREADS': '1'}) as job:
        peak = watch(job)
        report = json.loads(job.stdout.read())
    seconds, after = time.perf_counter() - start, os.times()
    if job.returncode:
        sys.exit(f'{" ".join(command)} failed with status {job.returncode}')
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        'records': report['samples'],
        'gib': round(log.stat().st_size / 2**30, 2),
        'wall_s': round(seconds, 1),
        'processor_s': round(processor, 1),
        'peak_rss_mib': round(peak),
        'cores': usable_cores(),
        'load_average': round(os.getloadavg()[0], 1),
    }


def watch(job: subprocess.Popen) -> float:
    """Return the most memory in MiB that ``job`` and its children had resident together, until it is done."""
    peak = 0.0
    while job.poll() is None and not _ready(job):
        peak = max(peak, resident_mib(job.pid))
        time.sleep(0.05)
    return peak


def _ready(job: subprocess.Popen) -> bool:
    """Whether the job has begun to print its report, the last thing it does."""
    return bool(select.select([job.stdout], [], [], 0)[0])


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and its descendants; those that have ended count nothing."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total / MIB


if __name__ == '__main__':
    run_tool(main)
