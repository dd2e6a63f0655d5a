"""Collects the samples of ``stage_costs.jsonl`` in tables, chunk by chunk."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, RunRecords, Source, Start
from vrtspike.analysis.statistics.samples import absent
from vrtspike.errors import LogError
from vrtspike.records.reader import decode_record
from vrtspike.records.stage_costs import PHASE_KEYS, SampleLine, StageTimes

FORMAT = 'vrtspike'
BATCH_VALUES = 1 << 19
"""Numbers that are added to a table at once."""

HEAD = ('iteration', 'iteration_ms', 'clips', 'frames', 'loss', 'memory_mib', 'loss_not_finite_at')
"""Columns of a sample before those of its stages. The last one is the iteration if its loss was null."""

STAGE_KEYS = StageTimes.__struct_fields__
TOTAL = 'total_ms'

Layout = tuple[tuple[str, ...], tuple[str, ...]]
"""Names of the stages and of the parts of a sample."""

_values = msgspec.structs.astuple


class Batch:
    """Consecutive samples of one rank: an array for each layout, because some stages come and go."""

    def __init__(self) -> None:
        self.samples = 0
        self._arrays: dict[Layout, tuple[array, list[int]]] = {}
        self._latest: Layout | None = None

    def append(self, sample: SampleLine) -> None:
        """Add a sample. None means not measured."""
        layout = tuple(sample.stages), tuple(sample.parts)
        if layout != self._latest:
            self._latest = layout
            self._values, self._numbers = self._arrays.setdefault(layout, (array('d'), []))
        row = _row(sample)
        try:
            self._values.fromlist(row)
        except TypeError:
            self._values.fromlist([math.nan if value is None else value for value in row])
        self._numbers.append(self.samples)
        self.samples += 1

    @property
    def full(self) -> bool:
        """Whether the batch should be added to a table."""
        return sum(len(values) for values, _ in self._arrays.values()) >= BATCH_VALUES

    def rows(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the names of all columns, and the samples as rows in their order."""
        tables = {
            layout: (names_of(layout), with_totals(layout, values)) for layout, (values, _) in self._arrays.items()
        }
        if len(tables) == 1:
            return next(iter(tables.values()))
        places = {name: None for names, _ in tables.values() for name in names}
        places = {name: i for i, name in enumerate(places)}
        merged = np.tile(absent(places), (self.samples, 1))
        for layout, (names, rows) in tables.items():
            merged[np.ix_(self._arrays[layout][1], [places[name] for name in names])] = rows
        return tuple(places), merged


def names_of(layout: Layout) -> tuple[str, ...]:
    """Return the names of the columns of :func:`with_totals`."""
    stages, parts = layout
    return (
        *HEAD,
        *(f'stages/{name}/{column}' for name in stages for column in (*STAGE_KEYS, TOTAL)),
        *(f'parts/{name}/{column}' for name in parts for column in (*PHASE_KEYS, TOTAL)),
    )


def with_totals(layout: Layout, numbers: array) -> np.ndarray:
    """Return samples as rows. Every stage and part gets the total of its phases as one more column."""
    begin = start = len(HEAD)
    ends = [len(HEAD) + len(layout[0]) * len(STAGE_KEYS) + len(layout[1]) * len(PHASE_KEYS)]
    values = np.frombuffer(numbers).reshape(-1, *ends)
    rows = np.empty((len(values), ends[0] + sum(map(len, layout))))
    rows[:, :start] = values[:, :begin]
    for names, width in zip(layout, (len(STAGE_KEYS), len(PHASE_KEYS)), strict=True):
        end, stop = begin + len(names) * width, start + len(names) * (width + 1)
        measured = values[:, begin:end].reshape(len(values), len(names), width)
        filled = rows[:, start:stop].reshape(len(values), len(names), width + 1)  # a view
        filled[:, :, :width] = measured
        filled[:, :, width] = sum(measured[:, :, i] for i in range(len(PHASE_KEYS)))
        begin, start = end, stop
    return rows


@dataclass
class Chunk:
    """The records of a chunk of a file."""

    pieces: list[tuple[RunRecords, bool]] = field(default_factory=list)
    """Records of one start, and whether they begin it: otherwise they continue the latest start of their rank."""
    records: int = 0
    """Number of samples."""
    lines: int = 0
    damaged: int = 0
    first_damaged: int | None = None
    """Number of the line in the chunk, from 1."""


class ChunkReader:
    """Collects records line by line."""

    def __init__(self) -> None:
        self.chunk = Chunk()
        self._batches: dict[int, Batch] = {}
        self._latest: dict[int, RunRecords] = {}

    def read(self, lines: Iterable[bytes]) -> Chunk:
        """Return the records of ``lines``; damaged lines are counted and left out."""
        chunk = self.chunk
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
                self._add(record)
            elif record is not None:
                self._flush(record.rank)
                self._begin(record.rank, Start(description=record))
        for rank in list(self._batches):
            self._flush(rank)
        return chunk

    def _add(self, sample: SampleLine) -> None:
        batch = self._batches.get(sample.rank)
        if batch is None:
            batch = self._batches[sample.rank] = Batch()
        batch.append(sample)
        self.chunk.records += 1
        if batch.samples % 64 == 0 and batch.full:
            self._flush(sample.rank)

    def _begin(self, rank: int, start: Start) -> RunRecords:
        records = self._latest[rank] = RunRecords(FORMAT, rank, [start])
        self.chunk.pieces.append((records, start.description is not None))
        return records

    def _flush(self, rank: int) -> None:
        """Add the batch of a rank to its records."""
        batch = self._batches.pop(rank, None)
        if batch is None:
            return
        records = self._latest.get(rank) or self._begin(rank, Start())
        names, rows = batch.rows()
        for iteration in rows[:, 0].astype(int).tolist():
            records.starts[0].reach(iteration)
        records.table.add(names, rows)


def read_lines(lines: Iterable[bytes]) -> Chunk:
    """Return the records of ``lines``; damaged lines are counted and left out."""
    return ChunkReader().read(lines)


def add(chunk: Chunk, source: Source, log: RunLog) -> None:
    """Add a chunk of ``source`` to the log, after the chunks before it."""
    if chunk.first_damaged is not None and source.first_damaged is None:
        source.first_damaged = source.lines + chunk.first_damaged
    continues = source.lines > 0
    source.lines += chunk.lines
    source.damaged += chunk.damaged
    source.records += chunk.records
    for records, begins in chunk.pieces:
        records.starts[0].source = source.path
        log.add(records, begins or not continues)


def _row(sample: SampleLine) -> list[float | None]:
    loss, not_finite_at = sample.loss, math.nan
    if loss is None:
        not_finite_at = sample.iteration
    elif loss is msgspec.UNSET:
        loss = None
    row = [sample.iteration, sample.iteration_ms, sample.clips, sample.frames, loss, sample.memory_mib, not_finite_at]
    for times in sample.stages.values():
        row += _values(times)
    for times in sample.parts.values():
        row += _values(times)
    return row
