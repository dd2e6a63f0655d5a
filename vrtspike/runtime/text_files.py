"""Reads text and YAML files that people wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vrtspike.errors import VrtSpikeError, explain_os_error

MAX_NODES = 100_000
"""Largest number of values in a YAML file. A few lines of nested aliases can stand for billions."""


def read_text(path: Path, error: type[VrtSpikeError]) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Raises:
        VrtSpikeError: As ``error``: the file cannot be read or has another encoding.
    """
    try:
        return path.read_text(encoding='utf-8-sig')
    except OSError as reason:
        raise error(explain_os_error(reason)) from reason
    except UnicodeDecodeError as reason:
        line = reason.object.count(b'\n', 0, reason.start) + 1
        found = f'byte {reason.object[reason.start]:#04x} in line {line}'
        raise error(f'{path} is not UTF-8 text ({found}): save it with the encoding UTF-8') from reason


def read_yaml_mapping(path: Path, expected: str, error: type[VrtSpikeError]) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Args:
        path: The file.
        expected: What the mapping should contain, for the error if the file contains no mapping.
        error: Type of the errors below.

    Raises:
        VrtSpikeError: As ``error``: the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        return parse_yaml_mapping(read_text(path, error), expected)
    except YamlError as reason:
        raise error(f'{path} {reason}') from reason


class YamlError(ValueError):
    """A YAML text is not a mapping. The message follows the name of the file."""


def parse_yaml_mapping(text: str, expected: str) -> dict[str, Any]:
    """Return the mapping in a YAML text. No code that it names is run.

    Raises:
        YamlError: It is not YAML, is not a mapping, or its aliases expand to too many values.
    """
    try:
        found = yaml.safe_load(text)
        count = node_count(found, {})
    except (yaml.YAMLError, ValueError, RecursionError) as reason:
        raise YamlError(f'is not valid YAML: {" ".join(str(reason).split())}') from reason
    if count > MAX_NODES:
        raise YamlError(f'contains {count:.0e} values, expected at most {MAX_NODES}: use fewer aliases (*name)')
    if not isinstance(found, dict):
        raise YamlError(f'contains {type(found).__name__}, expected {expected}')
    return found


def node_count(node: Any, known: dict[int, int]) -> int:
    """Return the number of values in nested mappings and lists. A shared value counts at each place.

    Args:
        node: The value.
        known: Counts by ``id``, which this function fills.

    Raises:
        ValueError: A list or mapping contains itself.
    """
    if not isinstance(node, (dict, list)):
        return 1
    if known.setdefault(id(node), 0) == 0:
        known[id(node)] = -1
        items = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(node_count(item, known) for item in items)
    if known[id(node)] < 0:
        raise ValueError('an alias refers to a value that contains it')
    return known[id(node)]
