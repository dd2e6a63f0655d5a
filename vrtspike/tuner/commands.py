"""The commands that measure a report's rows again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from vrtspike.tuner.candidates import reads_data


def commands(found: dict[str, Any]) -> str:
    """Return the command of the report, then those of every row: its time and memory, and its dB."""
    lines = [shlex.join(found['command'])]
    measured = [trial for trial in [*found['trials'], *found['steps']] if 'saving' in trial]
    common = common_arguments(found)
    shape = ['--shape', *map(str, found['shape'])]
    for trial in measured:
        kept = f'{found["folder"]}/trials/{trial["name"]}'
        if found['objective'] == 'train' and not reads_data(trial['overrides']):
            command = ['python', 'tools/benchmark.py', found['config_path'], f'{kept}.py', *shape, *common]
            lines.append(shlex.join(command))
        else:  # no other tool times restoring random clips, or training with its data
            lines.append(f'rm {shlex.quote(f"{kept}.json")} && {lines[0]}')
    for variant in (found['quality'] or {'variants': []})['variants']:
        if variant['overrides']:
            chosen = ['--variant', variant['name'], *options(variant['overrides'])]
            seeds = ['--seeds', *map(str, found['seeds'])]
            length = ['--iterations', str(found['iterations'])] if found['iterations'] else []
            length += ['--no-cpu-overrides'] if found.get('full_length') else []
            lines.append(shlex.join(
                ['python', 'tools/ablate.py', found['config_path'], *chosen, *seeds, *length, *common]
            ))  # fmt: skip
    return '\n'.join(dict.fromkeys(lines))


def common_arguments(found: dict[str, Any]) -> list[str]:
    """Return the arguments that all rows share."""
    arguments = ['--cfg-options', *options(found['common'])] if found['common'] else []
    return [*arguments, *(['--plugins', *found['plugins']] if found['plugins'] else [])]


def options(overrides: Mapping[str, Any], prefix: str = '') -> list[str]:
    """Return overrides as ``KEY=VALUE`` of the command line, dicts key by key."""
    return [text for key, value in overrides.items() for text in _option(f'{prefix}{key}', value)]


def _option(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield from options(value, f'{key}.')
    elif isinstance(value, (list, tuple)):
        yield f'{key}=[{",".join(map(str, value))}]'
    else:
        yield f'{key}={value}'
