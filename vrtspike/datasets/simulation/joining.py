"""New sequences for a data set in the processed layout: where one may go, and whether it fits what is there."""

from __future__ import annotations

from pathlib import Path

import yaml

from vrtspike.datasets.sources.folders import read_config
from vrtspike.errors import ConfigError, DataError
from vrtspike.runtime.atomic_write import write_text

METADATA = 'simulation.yaml'


def require_free(root: Path, split: str, name: str) -> None:
    """Raise if the name is hidden, is not a single folder name, or is taken in the other split."""
    if split not in ('train', 'val'):
        raise ConfigError(f"a simulated sequence got split={split!r}, expected 'train' or 'val'")
    if not name or Path(name).name != name or name.startswith('.'):
        raise ConfigError(
            f'a sequence cannot be called {name!r}: expected the name of one folder, not beginning with .'
        )
    other = root / ('val' if split == 'train' else 'train') / name
    if other.exists():
        raise DataError(f'{other} exists: a sequence is in one split only; choose another --name')


def require_same(folder: Path, metadata: dict) -> None:
    """Raise if the sequence was simulated with other settings."""
    found = read_config(folder / METADATA)
    differences = [
        f'{key}: found {found.get(key)}, expected {value}' for key, value in metadata.items() if found.get(key) != value
    ]
    if differences:
        raise DataError(
            f'{folder} was simulated otherwise ({"; ".join(differences)}): delete it, or choose another --name'
        )


def join_data_set(root: Path, wanted: dict) -> None:
    """Write the data set's ``config.yaml``, or raise if the existing one differs."""
    path = root / 'config.yaml'
    if not path.exists():
        write_yaml(path, wanted)
        return
    found = read_config(path)
    differences = [
        f'{key}: it has {found.get(key)}, this video {value}'
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    if differences:
        raise DataError(
            f'{path} is of a data set that this video does not fit into ({"; ".join(differences)}): change the '
            'options, or choose another --out'
        )


def write_yaml(path: Path, content: dict) -> None:
    """Write a YAML file, aside first."""
    write_text(path, yaml.safe_dump(content, sort_keys=False))
