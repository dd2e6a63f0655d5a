"""Reads the lines of ``stage_costs.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from vrtspike.errors import LogError
from vrtspike.records.stage_costs import RunLine, SampleLine

Record = RunLine | SampleLine

_decode = msgspec.json.Decoder(Record).decode


def decode_record(line: bytes) -> Record | None:
    """Return the record of a line, None for an empty line.

    Raises:
        LogError: The line is damaged.
    """
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if line.strip():
            raise LogError(f'not a record of stage costs: {error}') from error
        return None


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        LogError: A line is damaged.
    """
    with open(path, 'rb') as file:
        for number, line in enumerate(file, start=1):
            try:
                record = decode_record(line)
            except LogError as error:
                raise LogError(f'{path}, line {number}: {error}') from error
            if record is not None:
                yield record
