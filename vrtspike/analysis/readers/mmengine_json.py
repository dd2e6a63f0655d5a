"""Reads the JSON logs of MMEngine and of MMCV 1.x, with the scalars of any project that is built on them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers.line_reader import LineReader
from vrtspike.analysis.statistics.curves import is_rate

FORMAT = 'mmengine'
STEPS = ('step', 'iter')
NO_SCALARS = {*STEPS, 'epoch', 'mode'}
"""Keys that say which iteration a line belongs to."""

TIMES = ('time', 'data_time')
LONGEST_S = 1e6
"""No iteration takes longer than eleven days: the clock of the machine was set."""


def decode(line: bytes) -> Any:
    """Return the value of a line. MMEngine writes NaN and Infinity, which JSON does not have.

    Raises:
        ValueError: The line is not JSON.
    """
    try:
        try:
            return msgspec.json.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return json.loads(line)
    except RecursionError as error:
        raise ValueError('too deeply nested') from error


def is_record(value: Any) -> bool:
    """Whether a value is a record of MMEngine: scalars with their step, or the results of a test."""
    return isinstance(value, dict) and (_step_of(value) is not None or all(_is_number(value.get(key)) for key in TIMES))


def read(lines: Iterable[bytes], source: Source, log: RunLog) -> None:
    """Add ``lines`` to the log."""
    reader = JsonReader(source, log)
    for line in lines:
        source.lines += 1
        if line.strip():
            reader.feed(line)
    reader.close()


class JsonReader(LineReader):
    """Takes lines one by one. If the iterations begin again, so does another start of the training."""

    kind = FORMAT
    _epochs_before = _epoch = _iteration = 0

    def feed(self, line: bytes) -> None:
        """Take a line."""
        try:
            record = decode(line)
        except ValueError:
            record = None
        if is_record(record) and all(_is_possible(record.get(key)) for key in TIMES):
            self.source.records += 1
            self._add(record)
        elif not isinstance(record, dict) or is_record(record):  # other dicts, as in line 1 of older logs, say what ran
            self.source.damage(self.source.lines)

    def _add(self, record: dict[str, Any]) -> None:
        """Add a record.

        A validation belongs to the iteration before it: MMEngine numbers it by epoch, which is always 0 in
        iteration-based training.
        """
        training = is_training(record)
        if training:
            iteration = self._iteration_of(record)
            if self.start.last is not None and iteration <= self.start.first and iteration < self.start.last:
                self.close()
                self.begin()
            self.start.reach(iteration)
            if _is_number(record.get('time')):
                self.rows.append(_costs(record, iteration))
        else:
            iteration = self.start.last if self.start.last is not None else _step_of(record) or 0
        validation = not training and ('time' in record or record.get('mode') == 'val')
        for name, value in scalars_of(record).items():
            known = self.records.series.get(name)
            if not training and (name in TIMES or (known and name not in self.records.validated)):
                name = f'val/{name}'  # training has a scalar of this name
            elif validation and not is_rate(name):
                self.records.validated.add(name)
            self.records.scalar(name, iteration, value)

    def _iteration_of(self, record: dict[str, Any]) -> int:
        """Return the iteration since the start of a training; MMCV 1.x counts them within the epoch."""
        iteration = _step_of(record)
        if 'step' in record or 'mode' not in record:
            return iteration
        epoch = record.get('epoch')
        if _is_number(epoch):
            if epoch > self._epoch and iteration <= self._iteration:
                self._epochs_before += self._iteration
            elif epoch < self._epoch:
                self._epochs_before = 0
            self._epoch = epoch
        self._iteration = iteration
        return self._epochs_before + iteration


def is_training(record: dict[str, Any]) -> bool:
    """Whether a record is about iterations of training. One of several optimizers logs ``<its name>.lr``."""
    return (
        _is_number(record.get('iter'))
        and record.get('mode', 'train') == 'train'
        and any(key == 'time' or is_rate(key) or 'loss' in key for key in record)
    )


def scalars_of(record: dict[str, Any], prefix: str = '') -> dict[str, float]:
    """Return the numbers of a record by name. ``{"lr": {"generator": 1e-4}}`` has the scalar ``lr.generator``."""
    found = {}
    for key, value in record.items():
        if isinstance(value, dict) and not prefix:
            found |= scalars_of(value, f'{key}.')
        elif key not in NO_SCALARS and _is_number(value):
            found[f'{prefix}{key}'] = float(value)
    return found


def _costs(record: dict[str, Any], iteration: int) -> dict[str, float]:
    row = {'iteration': iteration, 'iteration_ms': record['time'] * 1e3}
    if _is_number(record.get('data_time')):
        data_ms = record['data_time'] * 1e3
        row |= {'stages/data/forward_ms': data_ms, 'stages/data/total_ms': data_ms}
    for name, key in (('memory_mib', 'memory'), ('epoch', 'epoch')):
        if _is_number(record.get(key)):
            row[name] = float(record[key])
    return row


def _step_of(record: dict[str, Any]) -> int | None:
    """Return the first number of a record that numbers it, None if there is none."""
    numbers = (record.get(key) for key in (*STEPS, 'epoch'))
    return next((int(number) for number in numbers if _is_number(number) and 0 <= number <= 2**53), None)


def _is_possible(seconds: Any) -> bool:
    """Whether a time, if it is a number at all, can be one: a clock that is set back gives negative ones."""
    return not _is_number(seconds) or 0 <= seconds <= LONGEST_S


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold; NaN and infinity are."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**1023)
