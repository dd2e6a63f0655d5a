"""Logs to analyse: made-up runs with known true values, and excerpts of the older code's logs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.records.stage_costs import PHASE_KEYS

DATA = Path(__file__).parent / 'test_analysis/data'

STAGES = {  # mean forward, recompute and backward ms
    'data': (4.0, 0.0, 0.0),
    'flow': (10.0, 0.0, 12.0),
    'stage1': (60.0, 20.0, 120.0),
    'fuse1': (10.0, 0.0, 18.0),
    'stage2': (15.0, 5.0, 30.0),
    'stage8': (100.0, 40.0, 200.0),
    'loss': (1.0, 0.0, 1.0),
    'optimizer': (8.0, 0.0, 0.0),
    'other': (6.0, 0.0, 0.0),
}
WHOLE = sum(map(sum, STAGES.values()))
COSTS = {
    'stage1': {'gmacs': 50.0, 'mib': 8000.0, 'parameters': 10},
    'stage8': {'gmacs': 20.0, 'mib': 500.0, 'parameters': 10},
}
RATES = {'gmacs_per_s': 2000.0, 'gib_per_s': 400.0}


def run_line(**changes) -> dict:
    line = dict(kind='run', version=1, time='2026-01-01T00:00:00', config='vrt_spike_tiny.py', rank=0, world_size=1)
    line |= dict(stages=list(STAGES), warmup=2, interval=1, accumulative_counts=1, precision='float32')
    line |= dict(device={'type': 'cuda', 'name': 'Made-up GPU'}, versions={'torch': '2.13.0'}, commit=None)
    line |= dict(clip_shape=[5, 256, 256], costs=COSTS, uncounted_ops={}, rates=RATES, notes=[])
    return line | changes


def noise(samples: int, seed: int, sigma: float = 0.02, rho: float = 0.6) -> np.ndarray:
    """Autocorrelated factors around 1, like times of iterations: an AR(1) process of standard deviation sigma."""
    rng = np.random.default_rng(seed)
    shocks = rng.normal(0, sigma * np.sqrt(1 - rho**2), samples)
    values = np.empty(samples)
    values[0] = rng.normal(0, sigma)
    for i in range(1, samples):
        values[i] = rho * values[i - 1] + shocks[i]
    return 1 + values


def sample_lines(samples: int, seed: int = 0, rank: int = 0, stages: dict = STAGES, scale: float = 1.0, **noisy):
    """Samples whose stages take their mean times multiplied by independent noise."""
    factors = {name: scale * noise(samples, 100 * seed + i, **noisy) for i, name in enumerate(stages)}
    for i in range(samples):
        times = {
            name: {key: ms * factors[name][i] for key, ms in zip(PHASE_KEYS, means, strict=True) if ms}
            for name, means in stages.items()
        }
        for name in ('stage1', 'stage8'):
            times[name] |= {'peak_mib': 4000.0 if name == 'stage8' else 3000.0, 'allocated_mib': 500.0}
        parts = {'stage1/attention': {'forward_ms': times['stage1']['forward_ms'] / 2}}
        iteration_ms = sum(sum(v for k, v in each.items() if k.endswith('_ms')) for each in times.values())
        sample = dict(kind='sample', iteration=i + 3, rank=rank, iteration_ms=iteration_ms, clips=2, frames=10)
        yield sample | dict(loss=0.1 / (1 + i / 20), memory_mib=4000.0, stages=times, parts=parts)


def write(path: Path, lines) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines), encoding='utf-8')
    return path


@pytest.fixture(scope='session')
def data() -> Path:
    """The folder of the older code's logs."""
    return DATA


@pytest.fixture(scope='session')
def made_up() -> SimpleNamespace:
    """The functions and constants that made-up logs are made with."""
    constants = dict(STAGES=STAGES, WHOLE=WHOLE, COSTS=COSTS, RATES=RATES)
    functions = (run_line, noise, sample_lines, write, scalars, memory_line)
    return SimpleNamespace(**constants, **{function.__name__: function for function in functions})


@pytest.fixture
def make_run(tmp_path):
    """Writes the folder of a run: ``make_run('name', samples=200, seed=1, ...)``."""

    def make(name: str, samples: int = 200, run: dict | None = None, **changes) -> Path:
        lines = [run_line(**(run or {})), *sample_lines(samples, **changes)]
        return write(tmp_path / name / 'stage_costs.jsonl', lines).parent

    return make


def scalars(steps: int = 40, validate_every: int = 10, psnr: float = 28.0) -> list[dict]:
    """What MMEngine logs: training every iteration, validations numbered by an epoch that is always 0."""
    rng = np.random.default_rng(0)
    lines = []
    for step in range(1, steps + 1):
        seconds = 2.0 if step == 1 else 0.5 + 0.01 * rng.random()
        lines.append({'lr': 1e-4, 'data_time': 0.01, 'loss': 1 / step, 'time': seconds, 'iter': step, 'step': step})
        if step % validate_every == 0:
            scores = {'psnr': psnr + step / 100, 'ssim': 0.85, 'blur/psnr': 25.0}
            lines.append(scores | {'data_time': 0.1, 'time': 3.0, 'step': 0})
    return lines


def memory_line() -> dict:
    """An explained iteration: two stages save 1000 MiB each, which the backward pass frees."""
    ms = [float(i) for i in range(0, 400, 10)]
    saved = [min(i, 40 - i) * 50.0 for i in range(40)]
    timeline = dict(ms=ms, running=['stage1'] * 20 + ['stage8 backward'] * 20)
    timeline['mib'] = {'parameters': [500.0] * 40, 'saved/stage1': saved, 'saved/stage8': saved}
    holdings = [dict(kind='parameters', mib=500.0)]
    holdings += [dict(kind='saved', stage=stage, mib=1000.0) for stage in ('stage1', 'stage8')]
    line = dict(kind='memory', version=1, iteration=6, rank=0, device='cuda:0', peak_mib=2500.0, peak_in='stage8')
    return line | dict(peak_ms=200.0, holdings=holdings, timeline=timeline)


@pytest.fixture
def report(make_run, made_up):
    """The report of a run with everything that a report can show."""
    folder = make_run('run', samples=300)
    made_up.write(folder / '20260101/vis_data/scalars.json', made_up.scalars())
    made_up.write(folder / 'memory.jsonl', [made_up.memory_line()])
    return build_report(read_logs([folder], 'run'))
