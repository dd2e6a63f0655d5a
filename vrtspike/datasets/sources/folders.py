"""What lies in the folders of a data set, and the arguments that every layout takes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vrtspike.errors import ConfigError, DataError
from vrtspike.runtime.yaml_file import read_yaml_mapping


def require_root(root: str | os.PathLike, layout: str) -> Path:
    """Return the folder of a data set that is there."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f'the data set {root} does not exist: prepare it as {layout}, '
            'or train on the demo clips with --cfg-options data.type=DemoClips'
        )
    return root


def require_split(folder: Path, split: str, layout: str) -> Path:
    """Return the folder of a split that is there."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: split '{split}' of a data set is laid out as {layout}")
    return folder


def require_positive(owner: str, name: str, value: float, kind: type = float) -> float:
    """Return an argument that must be a finite positive number, an integer where ``kind`` is int."""
    number = isinstance(value, (int, kind)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    if not number:
        raise ConfigError(f'{owner} got {name}={value!r}, expected a positive {kind.__name__}')
    return kind(value)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in ``folder``, sorted by name; hidden ones are not part of a data set."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith('.'))
    return [folder / name for name in names]


def stems_in(folder: Path, suffix: str) -> set[str]:
    """Return the stems of the files with ``suffix`` in ``folder``; hidden files are not part of a data set."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return {name[: -len(suffix)] for name in names if name.endswith(suffix) and not name.startswith('.')}


def all_stems(folders: Iterable[tuple[Path, str]]) -> np.ndarray:
    """Return the stems that any of the (folder, suffix) pairs has, in order; folders that are absent have none."""
    found = [stems_in(folder, suffix) for folder, suffix in folders if folder.is_dir()]
    return np.array(sorted(set().union(*found)), dtype=np.str_)


def read_config(path: Path) -> dict:
    """Return the contents of ``config.yaml``; empty where there is none."""
    if not path.is_file():
        return {}
    return read_yaml_mapping(path, 'keys such as spike_h, spike_w and threshold', DataError)


def config_number(found: dict, key: str, kind: type, path: Path, instead: str) -> int | float:
    """Return a positive number of a ``config.yaml``; ``instead`` says how else to give it."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not (value > 0 and math.isfinite(value)):
        state = f'is {value!r}' if key in found else 'is missing'
        raise DataError(f"'{key}' {state} in {path}, expected a positive {kind.__name__}: write it there, or {instead}")
    return kind(value)


def as_pair(spike_size: tuple[int, int], owner: str) -> tuple[int, int]:
    """Return a spike size as (height, width)."""
    if not isinstance(spike_size, (tuple, list)) or len(spike_size) != 2:
        raise ConfigError(f'{owner} got spike_size={spike_size!r}, expected (height, width)')
    return tuple(spike_size)
