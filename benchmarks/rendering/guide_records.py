"""The records that the performance guide is written from, and what each measured.

They are benchmarks/records/guide/*.json and those named in ``ELSEWHERE``. A record belongs to the network in
benchmarks/guide/claims.yaml that its config is the baseline of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from rendering.guide_verdicts import Measurements, savings_of_pairs
from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import compare

ELSEWHERE = (
    'training/distillation.json',
    'training/progressive.json',
    'training/amp_overflow.json',
    'optimize/tiny.json',
)
RECIPE_RUNS = {'distillation': ('alone', 'taught'), 'progressive': ('throughout', 'progressive')}
"""The names of a recipe's runs: without it, and with it."""
KINDS = ('configs', 'memory', 'quality', 'search', 'overflow', *RECIPE_RUNS)
KIND_OF_KEY = {'variants': 'quality', 'trials': 'search', 'runs': 'overflow'}
"""Keys that only a record of that kind has; the others name their kind themselves."""

Networks = dict[str, dict[str, str]]


class GuideRecord(msgspec.Struct, frozen=True):
    """A record: its path in the checkout, its kind, the network it is about, and what was written."""

    path: str
    kind: str
    network: str
    found: dict[str, Any]

    @property
    def device(self) -> str:
        """The device's name. The number of threads makes no other device: all that is read are ratios in a record."""
        return self.found['device']['name']


def read_guide_records(root: Path, networks: Networks) -> list[GuideRecord]:
    """Return all records.

    Raises:
        VrtSpikeError: One is of no known kind, of no network, or the second of its kind.
    """
    folder = root / 'benchmarks/records'
    paths = [*sorted((folder / 'guide').glob('*.json')), *(folder / name for name in ELSEWHERE)]
    records, seen = [], set()
    for path in filter(Path.is_file, paths):
        found = json.loads(path.read_text(encoding='utf-8'))
        kind = kind_of(found)
        if kind not in KINDS:
            raise VrtSpikeError(f'{path}: a record of kind {kind!r}; expected one of {", ".join(KINDS)}')
        network = network_of(path, baseline_of(found), networks)
        made = GuideRecord(path.relative_to(root).as_posix(), kind, network, found)
        # A difference in quality is the network's, wherever it was trained: one record of it counts.
        key = (kind, network, 'any device' if 'differences' in measurements_in(made) else made.device)
        if key in seen:
            raise VrtSpikeError(f'{path}: the second record of its kind of {network} on {key[-1]}; keep one')
        seen.add(key)
        records.append(made)
    return records


def kind_of(found: dict[str, Any]) -> str:
    kind = next((kind for key, kind in KIND_OF_KEY.items() if key in found), '')
    return found.get('recipe') or found.get('kind') or kind


def baseline_of(found: dict[str, Any]) -> str:
    """Return the config that a record compares with."""
    first = found.get('rows', [{}])[0]
    return first.get('config') or found.get('config_path') or found.get('settings', found)['config']


def network_of(path: Path, config: str, networks: Networks) -> str:
    for name, plans in networks.items():
        if plans['baseline'] == config:
            return name
    raise VrtSpikeError(f'{path}: its first config is {config}, expected the baseline of a network in claims.yaml')


def measurements_by_device(records: list[GuideRecord], networks: Networks) -> dict[str, dict[str, Measurements]]:
    """Return what was measured, by device and network; without any record one device, named '', has none."""
    devices: dict[str, dict[str, dict[str, Any]]] = {}
    differences: dict[str, dict[str, Any]] = {name: {} for name in networks}
    for record in records:
        fields = measurements_in(record)
        differences[record.network] |= fields.pop('differences', {})
        if fields:
            known = devices.setdefault(record.device, {}).setdefault(record.network, {})
            fields['savings_of'] = known.get('savings_of', {}) | fields.get('savings_of', {})
            known |= fields
    return {
        device: {
            name: Measurements(plans, differences=differences[name], **found.get(name, {}))
            for name, plans in networks.items()
        }
        for device, found in (devices or {'': {}}).items()
    }


def measurements_in(record: GuideRecord) -> dict[str, Any]:
    """Return the fields of :class:`Measurements` that a record fills."""
    found = record.found
    match record.kind:
        case 'configs':
            return {'speed': found}
        case 'memory':
            return {'peaks': {row['name']: row['peak_memory_mib'] for row in found['rows']}}
        case 'quality':
            return {'differences': quality_differences(found)}
        case 'search':
            times = {trial['name']: trial['times_ms'] for trial in found['trials'] if 'times_ms' in trial}
            return {'savings_of': {name: savings_of_pairs(ms['default'], ms['changed']) for name, ms in times.items()}}
        case 'overflow':
            runs = {name.rpartition(' ')[2]: run for name, run in found['runs'].items() if 'init_scale' in name}
            lost = {float(scale): run['lost_steps'] for scale, run in runs.items()}
            return {'lost_steps': lost, 'iterations': found['iterations']}
        case recipe:
            plain, changed = (found['runs'][name] for name in RECIPE_RUNS[recipe])
            seconds, psnr = ([[run[key] for run in runs] for runs in (plain, changed)] for key in ('run_s', 'psnr_db'))
            seeds = [run['seed'] for run in plain]
            reference, quality = (dict(zip(seeds, values, strict=True)) for values in psnr)
            gain = {run['seed']: run['gain_db'] for run in plain}
            return {
                'savings_of': {recipe: savings_of_pairs(*seconds)},
                'differences': {recipe: msgspec.to_builtins(compare(quality, reference, gain))},
            }


def quality_differences(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the difference in dB of each variant, with the smallest gain of the reference's seeds."""
    reference, *others = found['variants']
    gain = min((run['gain_db'] for run in reference['runs']), default=None)
    return {each['name']: each['difference_db'] | {'reference_gain_db': gain} for each in others}
