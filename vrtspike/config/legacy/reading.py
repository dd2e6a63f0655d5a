"""Reads a YAML config of the earlier code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vrtspike.errors import ConfigError
from vrtspike.runtime.text_files import read_yaml_mapping


def read_legacy(path: str | Path) -> dict[str, Any]:
    """Return the YAML file ``path`` as nested dicts.

    Raises:
        ConfigError: The file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f'no file {path}: expected a YAML config of the earlier code')
    return read_yaml_mapping(path, 'sections such as DATA and TRAIN', ConfigError)
