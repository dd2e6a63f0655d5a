"""Reads options files, and divides trainings of two phases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vrtspike.errors import ConfigError
from vrtspike.runtime.text_files import MAX_NODES, node_count, read_text

SECTIONS = {'datasets', 'netG', 'train'}
IN_PHASES = ('gt_size', 'dataloader_batch_size')
"""Keys of ``datasets.train`` whose value can be [of phase 1, of phase 2]."""

# Strings come first, so that '//' in an address begins no comment.
STRING = r'"(?:\\.|[^"\\])*"'
COMMENT = re.compile(rf'({STRING})|//[^\n]*|/\*.*?\*/', re.DOTALL)
LAST_COMMA = re.compile(rf'({STRING})|,(?=\s*[}}\]])', re.DOTALL)

Options = dict[str, Any]


def is_options(values: Mapping[str, Any]) -> bool:
    """Return whether a file's values are options of KAIR, rather than a config of the earlier VRT-Spike code."""
    return bool(SECTIONS & set(values))


def read_options(path: Path) -> tuple[Options, list[str]]:
    """Return the options in a JSON file with comments, and the keys that stand in it twice.

    Raises:
        ConfigError: The file cannot be read, is damaged, or holds something else.
    """
    expected = f'options of KAIR with {", ".join(sorted(SECTIONS))}'
    text = read_text(path, ConfigError)
    for pattern in (COMMENT, LAST_COMMA):
        text = pattern.sub(lambda found: found[1] or ' ', text)
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice.extend(dict.fromkeys(name for name in names if names.count(name) > 1))
        return dict(pairs)

    try:
        options = json.loads(text, object_pairs_hook=unique)
        count = node_count(options, {})
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(options, dict) or not is_options(options) or count > MAX_NODES:
        raise ConfigError(f'{path} contains no {expected}')
    return options, twice


def phases_of(options: Options) -> list[Options]:
    """Return the options of every phase of a training: one, or two.

    S-VRT trains in two phases where ``train.two_run`` is enabled, or where a crop or batch size is a pair. Without
    ``two_run``, phase 1 ends at ``train.fix_iter``.

    Raises:
        ConfigError: A section is not a mapping, a pair has another length, or the end of phase 1 is not known.
    """
    train, data = _section(options, 'train'), _section(_section(options, 'datasets'), 'train')
    two_run = _section(train, 'two_run')
    pairs = {key: data[key] for key in IN_PHASES if isinstance(data.get(key), list)}
    for key, value in pairs.items():
        if len(value) != 2:
            raise ConfigError(f'datasets.train.{key}: expected one number or [phase 1, phase 2], found {value!r}')
    train = {key: value for key, value in train.items() if key != 'two_run'}
    if two_run.get('enable'):
        changes = [_section(two_run, 'phase1'), _section(two_run, 'phase2')]
    elif pairs:
        changes = _divided_at_fix_iter(train)
    else:
        changes = [{}]
    return [
        {
            **options,
            'train': {**train, **change},
            'datasets': {
                **options.get('datasets', {}),
                'train': {**data, **{key: value[i] for key, value in pairs.items()}},
            },
        }
        for i, change in enumerate(changes)
    ]


def _divided_at_fix_iter(train: Options) -> list[Options]:
    total, end = train.get('total_iter'), train.get('fix_iter')
    if not (isinstance(total, int) and isinstance(end, int) and 0 < end < total):
        raise ConfigError(
            f'train.fix_iter is {end!r}, expected the end of phase 1, between 0 and total_iter ({total!r}): a crop or '
            'batch size is given for two phases. Give one size for a training in one phase'
        )
    return [{'total_iter': end}, {'total_iter': total - end, 'fix_iter': 0, 'freeze_backbone': False}]


def _section(options: Options, name: str) -> Options:
    section = options.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f'{name}: expected a section, found {section!r}')
    return section
