"""The one way in which benchmarks write a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vrtspike.runtime.atomic_write import written_aside


def write_record(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as JSON; a reader never meets half of one."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(record, indent=2) + '\n', encoding='utf-8')
