"""The commands that measure the rows of a report again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from vrtspike.candidates.training import changes_data_loading
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.trials import Measured


def commands(record: SearchRecord) -> str:
    """Return the command of the search, then those that measure the time and the quality of each row."""
    search = shlex.join(record.command)
    results = [item.result for item in [*record.measured, *record.measured_steps]]
    lines = [search, *(speed_command(result, record, search) for result in results)]
    for variant in record.quality.variants if record.quality else ():
        if variant.overrides:
            lines.append(quality_command(variant.name, variant.overrides, record))
    return '\n'.join(dict.fromkeys(lines))


def speed_command(result: Measured, record: SearchRecord, search: str) -> str:
    """Return the command that times a row again."""
    trial = f'{record.folder}/trials/{result.name}'
    if record.objective != 'train' or changes_data_loading(result.overrides):
        # No other tool times the restoring of random clips, or a training with its data.
        return f'rm {shlex.quote(f"{trial}.json")} && {search}'
    shape = ['--shape', *map(str, record.shape)]
    configs = [record.config_path, f'{trial}.py']
    return shlex.join(['python', 'tools/benchmark.py', *configs, *shape, *shared_arguments(record)])


def quality_command(name: str, overrides: Mapping[str, Any], record: SearchRecord) -> str:
    """Return the command that trains a row again."""
    arguments = ['--variant', name, *options(overrides), '--seeds', *map(str, record.seeds)]
    arguments += ['--iterations', str(record.iterations)] if record.iterations else []
    arguments += ['--no-cpu-overrides'] if record.full_length else []
    return shlex.join(['python', 'tools/ablate.py', record.config_path, *arguments, *shared_arguments(record)])


def shared_arguments(record: SearchRecord) -> list[str]:
    """Return the arguments that all rows share."""
    shared = ['--cfg-options', *options(record.shared_overrides)] if record.shared_overrides else []
    return shared + (['--plugins', *record.plugins] if record.plugins else [])


def options(overrides: Mapping[str, Any], prefix: str = '') -> list[str]:
    """Return overrides as ``KEY=VALUE`` arguments of the command line; each key of a dict is one argument."""
    found = []
    for key, value in overrides.items():
        if isinstance(value, Mapping) and value:
            found += options(value, f'{prefix}{key}.')
        else:
            text = f'[{",".join(map(str, value))}]' if isinstance(value, (list, tuple)) else value
            found.append(f'{prefix}{key}={text}')
    return found
