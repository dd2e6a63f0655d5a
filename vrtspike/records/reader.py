"""Reads the lines of ``stage_costs.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from vrtspike.errors import LogError
from vrtspike.records.stage_costs import RunLine, SampleLine

Record = RunLine | SampleLine

MAX_LINE = 1 << 24
"""Longer lines are no records. They are read in pieces, so that a file without line ends does not fill the memory."""

_decode = msgspec.json.Decoder(Record).decode


def decode_record(line: bytes) -> Record | None:
    """Return the record of a line, None for an empty line.

    Raises:
        LogError: The line is damaged.
    """
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if line.strip():
            raise LogError(f'not a record of stage costs: {error}') from error
        return None


def read_line(file: BinaryIO) -> bytes:
    """Return the next line of a file, or the beginning of a line that is longer than MAX_LINE; b'' at the end."""
    line = rest = file.readline(MAX_LINE)
    while len(rest) == MAX_LINE and not rest.endswith(b'\n'):
        rest = file.readline(MAX_LINE)
    return line


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        LogError: A line is damaged.
    """
    with open(path, 'rb') as file:
        for number, line in enumerate(iter(lambda: read_line(file), b''), start=1):
            try:
                record = decode_record(line)
            except LogError as error:
                raise LogError(f'{path}, line {number}: {error}') from error
            if record is not None:
                yield record
