"""Made-up records of the performance guide, for the tests of what is written from them."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = yaml.safe_load((ROOT / 'benchmarks/guide/claims.yaml').read_text(encoding='utf-8'))
EIGHT = CLAIMS['networks']['eight']
NARROW = CLAIMS['networks']['narrow']['baseline']


def row(config, times, stages=None, peak=100.0, attention=None):
    """A row of a record: ``stages`` by name as (forward, total) times of one round, the same in all."""
    divided = {
        name: {'forward_ms': [forward] * len(times), 'total_ms': [total] * len(times)}
        for name, (forward, total) in (stages or {}).items()
    }
    parts = {'attention': {'forward_ms': [attention] * len(times), 'total_ms': [attention] * len(times)}}
    return {
        'config': config,
        'gmacs': 1.0,
        'expected_saving_share': 0.1,
        'step_ms': {'median': times[0], 'iqr_share': 0.0},
        'times_ms': times,
        'saving_share': 0.0,
        'peak_memory_mib': peak,
        'load_average': [1.0, 2.0],
        'stages': divided,
        'parts': parts if attention else {},
    }


def record(*rows):
    return {
        'kind': 'configs',
        'versions': {'vrtspike': '0', 'python': '3', 'torch': '2.13.0'},
        'commit': '0' * 40,
        'device': {'type': 'cpu', 'name': 'A Processor', 'threads': 2},
        'shape': [1, 5, 24, 24],
        'rows': list(rows),
    }


HERE = {'device': record()['device'], 'versions': record()['versions'], 'commit': '0' * 40}


def decibels(mean, low, high, verdict='worse'):
    return {'mean': mean, 'low': low, 'high': high, 'seeds': [0, 1, 2], 'verdict': verdict, 'why': ''}


def quality(mean, low, high, verdict='worse', config=EIGHT['baseline']):
    difference = decibels(mean, low, high, verdict)
    runs = [{'seed': seed, 'psnr_db': 28.0, 'gain_db': 2.5} for seed in range(3)]
    variants = [
        {'name': 'reference', 'difference_db': None, 'runs': runs, 'failure': None},
        {'name': 'amp', 'difference_db': difference, 'runs': runs, 'failure': None, 'overrides': {}},
    ]
    device = {'type': 'cpu', 'name': 'A Processor', 'threads': 2}
    return {'config': config, 'device': device, 'common': {}, 'seeds': [0, 1, 2], 'variants': variants}


def progressive(plain, changed):
    """The record of progressive crops; a run is its PSNR and its seconds."""

    def runs(values):
        return [
            {'seed': i, 'psnr_db': psnr, 'gain_db': 3.0, 'run_s': seconds} for i, (psnr, seconds) in enumerate(values)
        ]

    settings = {'config': 'configs/vrt_spike_lite.py', 'iterations': 7, 'seeds': [0, 1, 2]}
    return {
        'recipe': 'progressive',
        'settings': settings,
        'runs': {'throughout': runs(plain), 'progressive': runs(changed)},
        **HERE,
    }


def search(**trials):
    """The record of a search; a trial has times of the default and of the change."""
    found = [{'name': name, 'times_ms': {'default': a, 'changed': b}} for name, (a, b) in trials.items()]
    return {
        'config_path': 'configs/vrt_spike_tiny.py',
        'trials': [*found, {'name': 'flash', 'skipped': 'no_flash'}],
        'command': ['python', 'tools/optimize.py', 'X'],
        'folder': 'work_dirs/x',
        **HERE,
    }


def overflow(lost):
    runs = {'bfloat16': 0} | {f'float16, init_scale {scale}': count for scale, count in lost.items()}
    return {
        'config': 'configs/vrt_spike_tiny.py',
        'overrides': {'a.b': 1},
        'iterations': 60,
        'runs': {name: {'lost_steps': count} for name, count in runs.items()},
        **HERE,
    }


def memory_record(**peaks):
    rows = [{'name': name, 'config': EIGHT['baseline'], 'peak_memory_mib': peak} for name, peak in peaks.items()]
    return {'kind': 'memory', 'shape': [5, 48, 48], 'rows': rows, **HERE}
