"""The one way in which benchmarks write a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vrtspike.runtime.atomic_write import write_text


def write_record(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as JSON; a reader never meets half of one."""
    write_text(path, json.dumps(record, indent=2) + '\n')
