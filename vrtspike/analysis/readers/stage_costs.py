"""Collects the samples of ``stage_costs.jsonl`` in tables, chunk by chunk."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.errors import LogError
from vrtspike.records.reader import decode_record
from vrtspike.records.stage_costs import PHASE_KEYS, RunLine, SampleLine, StageTimes

FORMAT = 'vrtspike'
BATCH = 1024

HEAD = ('iteration', 'iteration_ms', 'clips', 'frames', 'loss', 'memory_mib', 'loss_not_finite_at')
"""Columns of a sample before those of its stages. The last one is the iteration if its loss was null."""

STAGE_KEYS = StageTimes.__struct_fields__
TOTAL = 'total_ms'

_values = msgspec.structs.astuple


class Batch:
    """Consecutive samples of one rank with the same stages and parts, in one array.

    Args:
        layout: Rank, names of stages, names of parts.
    """

    def __init__(self, layout: tuple[int, tuple[str, ...], tuple[str, ...]]) -> None:
        self.layout = layout
        self.values = array('d')
        self.samples = 0

    def append(self, row: list[float | None]) -> None:
        """Add a sample. None means not measured."""
        try:
            self.values.fromlist(row)
        except TypeError:
            self.values.fromlist([math.nan if value is None else value for value in row])
        self.samples += 1

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns of :meth:`rows`."""
        _, stages, parts = self.layout
        return (
            *HEAD,
            *(f'stages/{name}/{column}' for name in stages for column in (*STAGE_KEYS, TOTAL)),
            *(f'parts/{name}/{column}' for name in parts for column in (*PHASE_KEYS, TOTAL)),
        )

    def rows(self) -> np.ndarray:
        """Return the samples as rows. Every stage and part gets the total of its phases as one more column."""
        values = np.frombuffer(self.values).reshape(self.samples, -1)
        end = len(HEAD) + len(self.layout[1]) * len(STAGE_KEYS)
        stages = _with_totals(values[:, len(HEAD) : end], len(STAGE_KEYS))
        return np.hstack([values[:, : len(HEAD)], stages, _with_totals(values[:, end:], len(PHASE_KEYS))])


@dataclass
class Chunk:
    """The records of a chunk of a file."""

    tables: dict[int, SampleTable] = field(default_factory=dict)
    """Samples by rank."""
    descriptions: list[RunLine] = field(default_factory=list)
    lines: int = 0
    damaged: int = 0
    first_damaged: int | None = None
    """Number of the line in the chunk, from 1."""

    @property
    def records(self) -> int:
        """Return the number of samples."""
        return sum(table.rows for table in self.tables.values())


def read_lines(lines: Iterable[bytes]) -> Chunk:
    """Collect the records of ``lines``; damaged lines are counted and left out."""
    chunk, batch = Chunk(), Batch((0, (), ()))
    for line in lines:
        chunk.lines += 1
        try:
            record = decode_record(line)
        except LogError:
            chunk.damaged += 1
            if chunk.first_damaged is None:
                chunk.first_damaged = chunk.lines
            continue
        if isinstance(record, SampleLine):
            layout = (record.rank, tuple(record.stages), tuple(record.parts))
            if layout != batch.layout or batch.samples >= BATCH:
                _flush(batch, chunk)
                batch = Batch(layout)
            batch.append(_row(record))
        elif record is not None:
            chunk.descriptions.append(record)
    _flush(batch, chunk)
    return chunk


def add(chunk: Chunk, source: Source, log: RunLog) -> None:
    """Add a chunk of ``source`` to the log, after the chunks before it."""
    if chunk.first_damaged is not None and source.first_damaged is None:
        source.first_damaged = source.lines + chunk.first_damaged
    source.lines += chunk.lines
    source.damaged += chunk.damaged
    source.records += chunk.records
    log.descriptions += chunk.descriptions
    for rank, table in chunk.tables.items():
        log.table(FORMAT, rank).merge(table)


def _row(sample: SampleLine) -> list[float | None]:
    loss, not_finite_at = sample.loss, math.nan
    if loss is None:
        not_finite_at = sample.iteration
    elif loss is msgspec.UNSET:
        loss = None
    head = (sample.iteration, sample.iteration_ms, sample.clips, sample.frames, loss, sample.memory_mib, not_finite_at)
    row = list(head)
    for times in sample.stages.values():
        row += _values(times)
    for times in sample.parts.values():
        row += _values(times)
    return row


def _with_totals(values: np.ndarray, width: int) -> np.ndarray:
    """Append the sum of its times to each group of ``width`` columns, which begins with its times."""
    groups = values.reshape(len(values), -1, width)
    totals = groups[:, :, : len(PHASE_KEYS)].sum(axis=2, keepdims=True)
    return np.concatenate([groups, totals], axis=2).reshape(len(values), -1)


def _flush(batch: Batch, chunk: Chunk) -> None:
    if batch.samples:
        chunk.tables.setdefault(batch.layout[0], SampleTable()).add(batch.names, batch.rows())
