"""Checks that a simulated sequence fits into a data set in the processed layout."""

from __future__ import annotations

from pathlib import Path

import yaml

from vrtspike.datasets.sources.folders import read_config
from vrtspike.errors import ConfigError, DataError
from vrtspike.runtime.atomic_write import write_text

METADATA = 'simulation.yaml'


def require_free(root: Path, split: str, name: str) -> None:
    """Raise an error if the name is hidden, is not a single folder name, or exists in the other split."""
    if split not in ('train', 'val'):
        raise ConfigError(f"a simulated sequence got split={split!r}, expected 'train' or 'val'")
    if not name or Path(name).name != name or name.startswith('.'):
        raise ConfigError(
            f'a sequence cannot be called {name!r}: expected a folder name that does not begin with a dot'
        )
    other = root / ('val' if split == 'train' else 'train') / name
    if other.exists():
        raise DataError(f'{other} exists: a sequence is in one split only; choose another --name')


def require_same(folder: Path, metadata: dict) -> None:
    """Raise an error if the sequence was simulated with other settings."""
    if different := differences(read_config(folder / METADATA), metadata):
        raise DataError(f'{folder} was simulated with other settings ({different}): choose another --name')


def join_data_set(root: Path, wanted: dict) -> None:
    """Write the data set's ``config.yaml``, or raise an error if the existing one differs."""
    path = root / 'config.yaml'
    if not path.exists():
        write_yaml(path, wanted)
    elif different := differences({'light': 'linear', **read_config(path)}, {'light': 'linear', **wanted}):
        raise DataError(
            f'this video does not fit the data set of {path} ({different}): change the options, choose another --out, '
            'or correct that file'
        )


def differences(found: dict, wanted: dict) -> str:
    """Describe the keys of ``wanted`` that have another value in ``found``."""
    return '; '.join(
        f'{key}: found {found.get(key)}, expected {value}' for key, value in wanted.items() if found.get(key) != value
    )


def write_yaml(path: Path, content: dict) -> None:
    """Write a YAML file atomically."""
    write_text(path, yaml.safe_dump(content, sort_keys=False))
