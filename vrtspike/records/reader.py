"""Reads ``stage_costs.jsonl``, whose lines ``vrtspike/records/stage_costs.schema.json`` describes.

The types below are that schema as far as it is read; decoding into them checks it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.statistics.table import Table

FORMAT = 'vrtspike'
BATCH = 1024

Natural = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Times(msgspec.Struct, gc=False):
    """Times of one part; phases it does not have count as 0."""

    forward_ms: Amount = 0.0
    recompute_ms: Amount = 0.0
    backward_ms: Amount = 0.0


class Phases(Times, gc=False):
    """Times and memory of one stage."""

    peak_mib: float | None = math.nan
    allocated_mib: float | None = math.nan


class Sample(msgspec.Struct, gc=False):
    """A line of kind 'sample'."""

    kind: Literal['sample']
    iteration: Natural
    rank: Natural
    iteration_ms: Amount
    clips: Natural
    frames: Natural
    stages: dict[str, Phases]
    loss: float | msgspec.UnsetType | None = msgspec.UNSET
    memory_mib: float | None = math.nan
    parts: dict[str, Times] = {}


class Run(msgspec.Struct):
    """What is needed of a line of kind 'run'; the rest stays as it is."""

    kind: Literal['run']
    version: Literal[1]
    rank: Natural
    world_size: Natural
    stages: list[str]
    costs: dict[str, dict[str, float]] | None = None
    rates: dict[str, float] | None = None


HEAD = ('iteration', 'iteration_ms', 'clips', 'frames', 'loss', 'memory_mib', 'loss_not_finite_at')
"""Columns of a sample before those of its stages. The last is the iteration where its loss was null."""

TIMES = tuple(each.name for each in msgspec.structs.fields(Times))
PHASES = tuple(each.name for each in msgspec.structs.fields(Phases))
TOTAL = 'total_ms'

_sample = msgspec.json.Decoder(Sample).decode
_run = msgspec.json.Decoder(Run).decode
_values = msgspec.structs.astuple


class Batch:
    """Samples of one rank with the same stages and parts, one after the other in one array.

    Args:
        layout: Rank, names of stages, names of parts.
    """

    def __init__(self, layout: tuple[int, tuple[str, ...], tuple[str, ...]]) -> None:
        self.layout = layout
        self.values = array('d')
        self.samples = 0

    def append(self, row: list[float | None]) -> None:
        """Add a sample; None is not measured."""
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
            *(f'stages/{name}/{column}' for name in stages for column in (*PHASES, TOTAL)),
            *(f'parts/{name}/{column}' for name in parts for column in (*TIMES, TOTAL)),
        )

    def rows(self) -> np.ndarray:
        """Return the samples as rows, the total of its phases added to every stage and part."""
        values = np.frombuffer(self.values).reshape(self.samples, -1)
        end = len(HEAD) + len(self.layout[1]) * len(PHASES)
        stages = _with_totals(values[:, len(HEAD) : end], len(PHASES))
        return np.hstack([values[:, : len(HEAD)], stages, _with_totals(values[:, end:], len(TIMES))])


@dataclass
class Piece:
    """What a part of a file holds."""

    tables: dict[int, Table] = field(default_factory=dict)
    descriptions: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0
    damaged: int = 0
    first_damaged: int | None = None

    @property
    def records(self) -> int:
        """Return how many samples there are."""
        return sum(table.rows for table in self.tables.values())


def read_lines(lines: Iterable[bytes]) -> Piece:
    """Return what ``lines`` hold; lines that are neither sample nor run are counted as damaged."""
    piece, batch = Piece(), Batch((0, (), ()))
    for line in lines:
        piece.lines += 1
        try:
            sample = _sample(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _other_line(line, piece)
            continue
        layout = (sample.rank, tuple(sample.stages), tuple(sample.parts))
        if layout != batch.layout or batch.samples >= BATCH:
            _flush(batch, piece)
            batch = Batch(layout)
        batch.append(_row(sample))
    _flush(batch, piece)
    return piece


def add(piece: Piece, source: Source, log: RunLog) -> None:
    """Add a piece of ``source`` to the log, after the pieces before it."""
    if piece.first_damaged is not None and source.first_damaged is None:
        source.first_damaged = source.lines + piece.first_damaged
    source.lines += piece.lines
    source.damaged += piece.damaged
    source.records += piece.records
    log.descriptions += piece.descriptions
    for rank, table in piece.tables.items():
        log.table(FORMAT, rank).merge(table)


def _row(sample: Sample) -> list[float | None]:
    loss, not_finite_at = sample.loss, math.nan
    if loss is None:
        not_finite_at = sample.iteration
    elif loss is msgspec.UNSET:
        loss = None
    row = [
        sample.iteration, sample.iteration_ms, sample.clips, sample.frames, loss, sample.memory_mib, not_finite_at
    ]  # fmt: skip
    for phases in sample.stages.values():
        row += _values(phases)
    for times in sample.parts.values():
        row += _values(times)
    return row


def _with_totals(values: np.ndarray, width: int) -> np.ndarray:
    """Return groups of ``width`` columns, whose first are times, each with the sum of its times appended."""
    groups = values.reshape(len(values), -1, width)
    totals = groups[:, :, : len(TIMES)].sum(axis=2, keepdims=True)
    return np.concatenate([groups, totals], axis=2).reshape(len(values), -1)


def _other_line(line: bytes, piece: Piece) -> None:
    """Read a line that is no sample: a run's description, an empty line, or damage."""
    if not line.strip():
        return
    try:
        _run(line)
        piece.descriptions.append(msgspec.json.decode(line))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        piece.damaged += 1
        if piece.first_damaged is None:
            piece.first_damaged = piece.lines


def _flush(batch: Batch, piece: Piece) -> None:
    if batch.samples:
        piece.tables.setdefault(batch.layout[0], Table()).add(batch.names, batch.rows())
