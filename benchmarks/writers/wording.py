"""What the writers share: how records are read, and how tables and devices read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vrtspike.errors import VrtSpikeError


def read_record(path: Path) -> dict[str, Any]:
    """Return a record; an error where it is not there or no JSON."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise VrtSpikeError(f'{path}: no such record; make it, or take out what is written from it') from None
    except json.JSONDecodeError as error:
        raise VrtSpikeError(f'{path} is no JSON: {error}') from error


def read_records(folder: Path) -> dict[Path, dict[str, Any]]:
    """Return the records of a folder by their path, sorted; none where there is no such folder."""
    return {path: read_record(path) for path in sorted(folder.glob('*.json'))}


def table(rows: Iterable[Sequence[str]], columns: str) -> str:
    """Return a Markdown table whose first row are the headings; ``columns`` has an l or an r for each.

    >>> print(table([('clip', 'dB'), ('one', '3')], 'lr'))
    | clip | dB |
    | --- | --: |
    | one | 3 |
    """
    headings, *others = rows
    rules = ['--:' if column == 'r' else '---' for column in columns]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in [headings, rules, *others])


def device_name(device: dict[str, Any]) -> str:
    """Return the device's name, with the number of threads that computed on a CPU."""
    if 'threads' not in device:
        return device['name']
    return f'{device["name"]}, {device["threads"]} thread{"s" if device["threads"] > 1 else ""}'


def measured_on(record: dict[str, Any]) -> str:
    """Return device, version and commit."""
    return f'{device_name(record["device"])}, torch {record["versions"]["torch"]}, commit {record["commit"][:8]}'
