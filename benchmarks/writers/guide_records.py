"""The records that the performance guide is written from, what each measured, and the command that made it.

They are benchmarks/records/guide/*.json and those named in ``ELSEWHERE``. Each belongs to the network of
benchmarks/guide/claims.yaml that its config is the baseline of.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import compare
from writers.guide_verdicts import Measurements
from writers.training import RUNS
from writers.wording import device_name, read_record, read_records

ELSEWHERE = ('training/distillation.json', 'training/progressive.json', 'training/amp_overflow.json',
             'optimize/tiny.json')  # fmt: skip
Node = dict[str, Any]


class Kind(NamedTuple):
    """How records of one command are read.

    ``config`` and ``measured`` take a record: measured are fields of :class:`writers.guide_verdicts.Measurements`.
    ``command`` takes its path as well.
    """

    config: Callable[[Node], str]
    measured: Callable[[Node], Node]
    command: Callable[[Node, str], str]


def by_device(root: Path, networks: dict[str, dict[str, str]]) -> dict[str, dict[str, Measurements]]:
    """Return what was measured, by device and network; without any record one device, named '', has none.

    A CPU is one device whatever the number of threads: all that is read are ratios within a record, and each record's
    threads stand beside its command. Differences in quality are those of a network, wherever it was trained: of
    those, one record counts.
    """
    devices: dict[str, dict[str, Node]] = {}
    differences: dict[str, Node] = defaultdict(dict)
    seen = set()
    for path, record in records(root).items():
        kind, network, device = kind_of(record), network_of(path, record, networks), record['device']['name']
        measured = KINDS[kind].measured(record)
        key = (kind, network, 'any device' if 'differences' in measured else device)
        if key in seen:
            raise VrtSpikeError(f'{path}: the second record of its kind of {network} on {key[-1]}; keep one')
        seen.add(key)
        differences[network] |= measured.pop('differences', {})
        if not measured:
            continue
        fields = devices.setdefault(device, {}).setdefault(network, {'savings_of': {}})
        fields['savings_of'] |= measured.pop('savings_of', {})
        fields |= measured
    return {
        device: {
            name: Measurements(plans, differences=differences[name], **found.get(name, {}))
            for name, plans in networks.items()
        }
        for device, found in (devices or {'': {}}).items()
    }


def records(root: Path) -> dict[Path, Node]:
    """Return all records by their path."""
    folder = root / 'benchmarks/records'
    elsewhere = [folder / name for name in ELSEWHERE if (folder / name).is_file()]
    return read_records(folder / 'guide') | {path: read_record(path) for path in elsewhere}


def kind_of(record: Node) -> str:
    """Return which of ``KINDS`` a record is."""
    if 'recipe' in record:
        return record['recipe']
    return next((kind for key, kind in KEYS.items() if key in record), record.get('kind', ''))


def network_of(path: Path, record: Node, networks: dict[str, dict[str, str]]) -> str:
    """Return the network whose baseline is a record's config; an error where it is none's."""
    kind = kind_of(record)
    if kind not in KINDS:
        raise VrtSpikeError(f'{path}: a record of kind {kind!r}; expected one of {", ".join(KINDS)}')
    config = KINDS[kind].config(record)
    network = next((name for name, plans in networks.items() if plans['baseline'] == config), None)
    if network is None:
        raise VrtSpikeError(f'{path}: its first config is {config}, expected the baseline of a network in claims.yaml')
    return network


def commands(root: Path) -> list[str]:
    """Return the commands that made the records, and on what."""
    return [
        f'python {KINDS[kind_of(record)].command(record, path.relative_to(root).as_posix())}'
        f'  # {device_name(record["device"])}'
        for path, record in records(root).items()
    ]


def speed_command(record: Node, path: str) -> str:
    configs = ' '.join(row['config'] for row in record['rows'])
    rounds = len(record['rows'][0]['times_ms'])
    return f'tools/benchmark.py {configs} --stages --shape {spaced(record["shape"])} --rounds {rounds} --json {path}'


def memory_command(record: Node, path: str) -> str:
    return f'benchmarks/guide_memory.py --shape {spaced(record["shape"])} --json {path}'


def peaks(record: Node) -> Node:
    """Return the peak of each batch by its name."""
    return {'peaks': {row['name']: row['peak_memory_mib'] for row in record['rows']}}


def variants(record: Node) -> Node:
    """Return the difference in dB of each variant, with the reference's gain that it counts by."""
    reference, *others = record['variants']
    gain = min((run['gain_db'] for run in reference['runs']), default=None)
    return {'differences': {each['name']: each['difference_db'] | {'reference_gain_db': gain} for each in others}}


def variants_command(record: Node, path: str) -> str:
    common = dict(record['common'])
    length = common.pop('train_cfg.max_iters', None)
    stopped = any(not each['runs'] and not each['failure'] for each in record['variants'])
    return (
        f'tools/ablate.py {record["config"]} --variants benchmarks/guide/{Path(path).stem}.yaml '
        f'--seeds {spaced(record["seeds"])}{f" --iterations {length}" if length else ""}'
        f'{" --stop-without-gain" if stopped else ""} --json {path}{cfg_options(common)}'
    )


def recipe(record: Node) -> Node:
    """Return what a recipe saves of a training's time, seed by seed, and what it does to its quality."""
    plain, changed = (record['runs'][name] for name in RUNS[record['recipe']])
    psnr, reference = ({run['seed']: run['psnr_db'] for run in runs} for runs in (changed, plain))
    return {
        'savings_of': {
            record['recipe']: tuple(
                1 - after['run_s'] / before['run_s'] for before, after in zip(plain, changed, strict=True)
            )
        },
        'differences': {record['recipe']: compare(psnr, reference, {run['seed']: run['gain_db'] for run in plain})},
    }


def recipe_command(record: Node, path: str) -> str:
    settings = record['settings']
    taught = f' --depths {spaced(settings["depths"])} --teacher {settings["teacher"]}' if settings['teacher'] else ''
    return (
        f'benchmarks/recipes.py {record["recipe"]} --config {settings["config"]}{taught} '
        f'--iterations {settings["iterations"]} --seeds {spaced(settings["seeds"])} --out {path}'
    )


def lost_steps(record: Node) -> Node:
    """Return how many steps float16 lost, by initial loss scale, and of how many."""
    runs = {name.rpartition(' ')[2]: run for name, run in record['runs'].items() if 'init_scale' in name}
    return {
        'lost_steps': {float(scale): run['lost_steps'] for scale, run in runs.items()},
        'iterations': record['iterations'],
    }


def overflow_command(record: Node, path: str) -> str:
    scales = ' '.join(f'{scale:g}' for scale in lost_steps(record)['lost_steps'])
    return (
        f'benchmarks/amp_overflow.py {record["config"]} --iterations {record["iterations"]} --scales {scales} '
        f'--out {path}{cfg_options(record["overrides"])}'
    )


def trials(record: Node) -> Node:
    """Return what each measured change of a search saves, round by round."""
    return {
        'savings_of': {
            trial['name']: tuple(
                1 - changed / default
                for default, changed in zip(trial['times_ms']['default'], trial['times_ms']['changed'], strict=True)
            )
            for trial in record['trials']
            if 'times_ms' in trial
        }
    }


def search_command(record: Node, path: str) -> str:
    folder = record['folder']
    return f'{shlex.join(record["command"][1:])} && cp {folder}/report.json {path}'


def cfg_options(overrides: Node) -> str:
    settings = ' '.join(f'{key}={value}' for key, value in overrides.items())
    return f' --cfg-options {settings}' if settings else ''


def spaced(values: list[int]) -> str:
    return ' '.join(map(str, values))


RECIPE = Kind(lambda record: record['settings']['config'], recipe, recipe_command)
KINDS = {
    'configs': Kind(lambda record: record['rows'][0]['config'], lambda record: {'speed': record}, speed_command),
    'memory': Kind(lambda record: record['rows'][0]['config'], peaks, memory_command),
    'quality': Kind(lambda record: record['config'], variants, variants_command),
    'search': Kind(lambda record: record['config_path'], trials, search_command),
    'overflow': Kind(lambda record: record['config'], lost_steps, overflow_command),
    **dict.fromkeys(RUNS, RECIPE),
}
KEYS = {'variants': 'quality', 'trials': 'search', 'runs': 'overflow'}
"""What only a record of that kind has."""
