"""Reads YAML files that people wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vrtspike.errors import VrtSpikeError


def read_yaml_mapping(path: Path, expected: str, error: type[VrtSpikeError]) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: The file.
        expected: What the mapping holds, for the message about another content.
        error: Type of the errors below.

    Raises:
        VrtSpikeError: As ``error``: the file cannot be read, is not YAML, or holds something else than a mapping.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as reason:
        raise error(f'{path} cannot be read: {reason.strerror or reason}') from reason
    except (UnicodeDecodeError, yaml.YAMLError) as reason:
        raise error(f'{path} is not valid YAML: {" ".join(str(reason).split())}') from reason
    if not isinstance(found, dict):
        raise error(f'{path} holds {type(found).__name__}, expected {expected}')
    return found
