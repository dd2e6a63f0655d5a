"""Reads the explained iterations of ``memory.jsonl``."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.records.memory import MemoryLine

FORMAT = 'memory'
LINE_START = re.compile(rb'\{\s*"kind"\s*:\s*"memory"')

_decode = msgspec.json.Decoder(MemoryLine).decode


def read(lines: Iterable[bytes], source: Source, log: RunLog) -> None:
    """Add the records of a file to the log; damaged lines are counted and left out."""
    for number, line in enumerate(lines, start=1):
        source.lines = number
        try:
            log.memory.append(_decode(line))
            source.records += 1
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if line.strip():
                source.damage(number)
