"""Reads ``stage_costs.jsonl``, whose lines ``vrtspike/profiling/stage_costs.schema.json`` describes.

The types below are that schema as far as it is read; decoding into them checks it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.table import Table

FORMAT = 'vrtspike'
BATCH = 2048

Natural = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Phases(msgspec.Struct, gc=False):
    """Times and memory of one stage; phases it does not have count as 0."""

    forward_ms: Amount = 0.0
    recompute_ms: Amount = 0.0
    backward_ms: Amount = 0.0
    peak_mib: float | None = None
    allocated_mib: float | None = None


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
    memory_mib: float | None = None
    parts: dict[str, Phases] = {}


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

PHASES = tuple(field.name for field in msgspec.structs.fields(Phases))
COLUMNS = (*PHASES, 'total_ms')

_sample = msgspec.json.Decoder(Sample).decode
_run = msgspec.json.Decoder(Run).decode
_values = msgspec.structs.astuple


@dataclass
class Batch:
    """Samples of one rank with the same stages and parts, whose values are stored in the same order."""

    layout: tuple
    rows: list[list] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns of :meth:`array`."""
        _, stages, parts = self.layout
        prefixes = [f'stages/{name}' for name in stages] + [f'parts/{name}' for name in parts]
        return (*HEAD, *(f'{prefix}/{column}' for prefix in prefixes for column in COLUMNS))

    def array(self) -> np.ndarray:
        """Return the samples as rows, the total of its phases added to every stage."""
        values = np.array(self.rows, dtype=float)
        head, phases = values[:, : len(HEAD)], values[:, len(HEAD) :].reshape(len(values), -1, len(PHASES))
        totals = phases[:, :, :3].sum(axis=2, keepdims=True)
        return np.hstack([head, np.concatenate([phases, totals], axis=2).reshape(len(values), -1)])


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
    piece, batch = Piece(), Batch(())
    for line in lines:
        piece.lines += 1
        try:
            sample = _sample(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            _other_line(line, piece)
            continue
        layout = (sample.rank, tuple(sample.stages), tuple(sample.parts))
        if layout != batch.layout or len(batch.rows) >= BATCH:
            _flush(batch, piece)
            batch = Batch(layout)
        batch.rows.append(_row(sample))
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


def _row(sample: Sample) -> list:
    loss = sample.loss
    not_finite_at = sample.iteration if loss is None else None
    if loss is msgspec.UNSET:
        loss = None
    row = [
        sample.iteration, sample.iteration_ms, sample.clips, sample.frames, loss, sample.memory_mib, not_finite_at
    ]  # fmt: skip
    for phases in sample.stages.values():
        row += _values(phases)
    for phases in sample.parts.values():
        row += _values(phases)
    return row


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
    if batch.rows:
        piece.tables.setdefault(batch.layout[0], Table()).add(batch.names, batch.array())
