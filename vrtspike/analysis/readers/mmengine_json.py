"""Reads MMEngine's JSON logs, ``<run>/<timestamp>/vis_data/scalars.json`` and ``<timestamp>.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.statistics.samples import RowBuffer

FORMAT = 'mmengine'
STEPS = ('step', 'iter')
NO_SCALARS = {*STEPS, 'epoch', 'mode'}
"""Keys that say which iteration a line belongs to."""


def decode(line: bytes) -> Any:
    """Return the value of a line. MMEngine writes NaN and Infinity, which JSON does not have.

    Raises:
        ValueError: The line is not JSON.
    """
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(line)


def is_record(value: Any) -> bool:
    """Whether a value is a record of MMEngine: scalars and their step."""
    return isinstance(value, dict) and any(_is_number(value.get(key)) for key in (*STEPS, 'epoch'))


def read(lines: Iterable[bytes], source: Source, log: RunLog) -> None:
    """Add ``lines`` to the log."""
    rows = RowBuffer(log.table(FORMAT))
    trained = None
    for line in lines:
        source.lines += 1
        if not line.strip():
            continue
        try:
            record = decode(line)
        except ValueError:
            record = None
        if is_record(record):
            source.records += 1
            trained = _add(record, trained, rows, log)
        elif not isinstance(record, dict):  # other dicts, such as the first line of older logs, describe the run
            source.damage(source.lines)
    rows.flush()


def _add(record: dict[str, Any], trained: int | None, rows: RowBuffer, log: RunLog) -> int | None:
    """Add a record and return the last trained iteration.

    A validation belongs to that iteration. MMEngine numbers it by epoch, which is always 0 in iteration-based training.
    """
    training = 'iter' in record and record.get('mode', 'train') == 'train' and ('lr' in record or 'loss' in record)
    step = int(next(record[key] for key in (*STEPS, 'epoch') if _is_number(record.get(key))))
    if not training and trained is not None:
        step = trained
    for name, value in record.items():
        if name not in NO_SCALARS and _is_number(value):
            log.scalar(name if training or name not in ('time', 'data_time') else f'val/{name}', step, float(value))
    if training and _is_number(record.get('time')):
        rows.append(_costs(record, step))
    return step if training else trained


def _costs(record: dict[str, Any], step: int) -> dict[str, float]:
    row = {'iteration': step, 'iteration_ms': record['time'] * 1e3}
    if _is_number(record.get('data_time')):
        data_ms = record['data_time'] * 1e3
        row |= {'stages/data/forward_ms': data_ms, 'stages/data/total_ms': data_ms}
    for name, key in (('memory_mib', 'memory'), ('epoch', 'epoch')):
        if _is_number(record.get(key)):
            row[name] = record[key]
    return row


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
