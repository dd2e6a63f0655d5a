"""Collects the samples of ``stage_costs.jsonl`` in tables, chunk by chunk."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, RunRecords, Source, Start
from vrtspike.errors import LogError
from vrtspike.records.reader import decode_record
from vrtspike.records.stage_costs import PHASE_KEYS, SampleLine, StageTimes, Times

FORMAT = 'vrtspike'
BATCH_VALUES = 1 << 19
"""Numbers that are added to a table at once."""

HEAD = ('iteration', 'iteration_ms', 'clips', 'frames', 'loss', 'memory_mib', 'mfu', 'hfu', 'loss_not_finite_at')
"""Columns of a sample before those of its stages. The last one is the iteration if its loss was null."""

STAGE_KEYS = StageTimes.__struct_fields__
TOTAL = 'total_ms'

NO_TIMES = StageTimes(), Times()
"""What a sample has of a stage and of a part that it lacks."""

_values = msgspec.structs.astuple


class Batch:
    """Consecutive samples of one rank in one array.

    Args:
        stages: Names of the stages of all samples; a sample may lack some.
        parts: Names of the parts.
    """

    def __init__(self, stages: Iterable[str] = (), parts: Iterable[str] = ()) -> None:
        self.layout = tuple(stages), tuple(parts)
        self.samples = 0
        self._values = array('d')

    @property
    def full(self) -> bool:
        """Whether the batch should be added to a table."""
        return len(self._values) >= BATCH_VALUES

    def append(self, sample: SampleLine) -> bool:
        """Add a sample, and return False if it has other stages or parts than this batch."""
        times = sample.stages, sample.parts
        if (tuple(sample.stages), tuple(sample.parts)) != self.layout:
            if any(each.keys() - set(names) for each, names in zip(times, self.layout, strict=True)):
                return False
            times = [
                {name: each.get(name, empty) for name in names}
                for each, names, empty in zip(times, self.layout, NO_TIMES, strict=True)
            ]
        row = _head(sample)
        for each in times:
            for phases in each.values():
                row += _values(phases)
        try:
            self._values.fromlist(row)
        except TypeError:  # None means not measured
            self._values.fromlist([math.nan if value is None else value for value in row])
        self.samples += 1
        return True

    def with_new_names(self, sample: SampleLine) -> Batch:
        """Return an empty batch that a sample fits into, too."""
        return Batch(
            *(
                dict.fromkeys([*names, *new])
                for names, new in zip(self.layout, (sample.stages, sample.parts), strict=True)
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns of :meth:`rows`."""
        stages, parts = self.layout
        return (
            *HEAD,
            *(f'stages/{name}/{column}' for name in stages for column in (*STAGE_KEYS, TOTAL)),
            *(f'parts/{name}/{column}' for name in parts for column in (*PHASE_KEYS, TOTAL)),
        )

    def rows(self) -> np.ndarray:
        """Return the samples as rows. Every stage and part gets the total of its phases as one more column."""
        values = np.frombuffer(self._values).reshape(self.samples, -1)
        rows = np.empty((self.samples, len(self.names)))
        begin = start = len(HEAD)
        rows[:, :start] = values[:, :begin]
        for names, width in zip(self.layout, (len(STAGE_KEYS), len(PHASE_KEYS)), strict=True):
            end, stop = begin + len(names) * width, start + len(names) * (width + 1)
            measured = values[:, begin:end].reshape(self.samples, len(names), width)
            filled = rows[:, start:stop].reshape(self.samples, len(names), width + 1)  # a view
            filled[:, :, :width] = measured
            filled[:, :, width] = sum(measured[:, :, i] for i in range(len(PHASE_KEYS)))
            begin, start = end, stop
        return rows


@dataclass
class Chunk:
    """The records of a chunk of a file."""

    starts: list[tuple[RunRecords, bool]] = field(default_factory=list)
    """Records of one start, and whether they begin it: otherwise they continue the latest start of their rank."""
    records: int = 0
    """Number of samples."""
    lines: int = 0
    damaged: int = 0
    first_damaged: int | None = None
    """Number of the line in the chunk, from 1."""


EMPTY = Batch()


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
        batch = self._batches.setdefault(sample.rank, EMPTY)
        if batch is EMPTY or batch.full or not batch.append(sample):
            self._flush(sample.rank)
            batch = self._batches[sample.rank] = batch.with_new_names(sample)
            batch.append(sample)
        self.chunk.records += 1

    def _begin(self, rank: int, start: Start) -> RunRecords:
        records = self._latest[rank] = RunRecords(FORMAT, rank, [start])
        self.chunk.starts.append((records, start.description is not None))
        return records

    def _flush(self, rank: int) -> None:
        """Add the batch of a rank to its records."""
        batch = self._batches.pop(rank, EMPTY)
        if batch.samples:
            records = self._latest.get(rank) or self._begin(rank, Start())
            rows = batch.rows()
            for iteration in rows[:, 0].astype(int).tolist():
                records.starts[0].reach(iteration)
            records.table.add(batch.names, rows)


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
    for records, begins in chunk.starts:
        records.starts[0].source = source.path
        log.add(records, begins or not continues)


def _head(sample: SampleLine) -> list[float | None]:
    """Return the values of HEAD."""
    loss, not_finite_at = sample.loss, math.nan
    if loss is None:
        not_finite_at = sample.iteration
    elif loss is msgspec.UNSET:
        loss = None
    whole = [sample.iteration, sample.iteration_ms, sample.clips, sample.frames, loss]
    return [*whole, sample.memory_mib, sample.mfu, sample.hfu, not_finite_at]
