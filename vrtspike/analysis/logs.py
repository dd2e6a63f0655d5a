"""The contents of logs of any format."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.analysis.statistics.trace import Trace
from vrtspike.records.memory import MemoryLine
from vrtspike.records.stage_costs import RunLine

FORMATS = ('vrtspike', 'legacy_timing', 'legacy_print', 'mmengine', 'legacy_train', 'basicsr', 'memory')
"""The formats with most detail about stages come first. If a run has several, its costs are read from the first."""

LEGACY = ('legacy_timing', 'legacy_print', 'legacy_train')
FORWARD_ONLY = ('legacy_timing', 'legacy_print')
"""Formats whose ``iteration_ms`` is the time of the forward pass only."""

NO_STAGES = ('mmengine', 'legacy_train', 'basicsr')
"""Formats without times of stages, except waiting for data."""

SERIES_BATCH = 1024
LARGEST = 1e38
"""Larger scalars are beyond the range of float32 and count as infinite."""


@dataclass
class Source:
    """One file that was read.

    Args:
        path: As it is shown.
        formats: The formats of its lines, of FORMATS.
        lines: Number of lines.
        records: Number of records that were used.
        damaged: Number of lines that begin like a record but cannot be read.
        first_damaged: Number of the first of these lines, from 1; None if not known.
    """

    path: str
    formats: list[str] = field(default_factory=list)
    lines: int = 0
    records: int = 0
    damaged: int = 0
    first_damaged: int | None = None

    def damage(self, line: int | None = None) -> None:
        """Count a damaged line."""
        self.damaged += 1
        if self.first_damaged is None:
            self.first_damaged = line


Point = tuple[int, float]
"""An iteration and a value."""


class SeriesSummary(msgspec.Struct):
    """The last finite point and the first ones with the extreme values; how many values were not finite."""

    last: Point | None = None
    highest: Point | None = None
    lowest: Point | None = None
    not_finite: int = 0
    first_not_finite: int | None = None
    """Iteration of the first value that was not finite."""


class Series:
    """A scalar over the iterations: a thinned curve and an exact summary."""

    def __init__(self) -> None:
        self._new: list[Point] = []
        self._trace = Trace(2)
        self._summary = SeriesSummary()

    def append(self, iteration: int, value: float) -> None:
        """Add one point."""
        self._new.append((iteration, value))
        if len(self._new) >= SERIES_BATCH:
            self._flush()

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (iterations, values) of the thinned curve."""
        self._flush()
        return self._trace.rows[:, 0], self._trace.rows[:, 1]

    @property
    def summary(self) -> SeriesSummary:
        """Return the summary of all points."""
        self._flush()
        return self._summary

    def cut(self, iteration: int) -> None:
        """Drop the points from an iteration on, which a resumed run has trained again."""
        iterations, _ = self.points()
        kept = self._trace.rows[iterations < iteration]
        if len(kept) < len(iterations):
            self._trace.rows = kept
            self._summary = SeriesSummary(
                not_finite=self._summary.not_finite, first_not_finite=self._summary.first_not_finite
            )
            self._summarise(kept)

    def extend(self, later: Series) -> None:
        """Append the points of a later series."""
        mine, theirs = self.summary, later.summary
        self._trace.merge(later._trace)
        self._extremes(theirs.last, theirs.highest, theirs.lowest)
        mine.not_finite += theirs.not_finite
        if mine.first_not_finite is None:
            mine.first_not_finite = theirs.first_not_finite

    def _flush(self) -> None:
        """Process the points that were added since the last call."""
        if not self._new:
            return
        rows = np.array(self._new, dtype=float)
        self._new = []
        finite = np.abs(rows[:, 1]) <= LARGEST
        if not finite.all():
            self._summary.not_finite += int(np.count_nonzero(~finite))
            if self._summary.first_not_finite is None:
                self._summary.first_not_finite = int(rows[~finite][0, 0])
            rows = rows[finite]
        if len(rows):
            self._trace.add(rows)
        self._summarise(rows)

    def _summarise(self, rows: np.ndarray) -> None:
        if len(rows):
            chosen = rows[[-1, np.argmax(rows[:, 1]), np.argmin(rows[:, 1])]]
            self._extremes(*((int(iteration), float(value)) for iteration, value in chosen))

    def _extremes(self, last: Point | None, highest: Point | None, lowest: Point | None) -> None:
        """Take the last and the extreme points of later rows into the summary."""
        if last is None:
            return
        summary = self._summary
        summary.last = last
        if summary.highest is None or highest[1] > summary.highest[1]:
            summary.highest = highest
        if summary.lowest is None or lowest[1] < summary.lowest[1]:
            summary.lowest = lowest


class Start(msgspec.Struct):
    """What is known about one start of a training, from scratch or resumed.

    Args:
        source: File of its records.
        description: Its run line, if its format has them.
        first: First iteration of a record, None if the format does not number them.
        last: Last one.
        gap: Iterations between the first two records.
        backwards: How many records do not have a higher iteration than the one before them.
        clips: Mean clips of a batch, None if not known.
    """

    source: str = ''
    description: RunLine | None = None
    first: int | None = None
    last: int | None = None
    gap: int | None = None
    backwards: int = 0
    clips: float | None = None

    def reach(self, iteration: int) -> None:
        """Take the iteration of the next record into account."""
        if self.last is None:
            self.first = iteration
        elif iteration <= self.last:
            self.backwards += 1
        elif self.gap is None:
            self.gap = iteration - self.last
        self.last = iteration

    def is_from_scratch(self, before: Start) -> bool:
        """Whether a training began anew after the start ``before``, and was not resumed.

        The first record of a training from scratch comes within one interval, or right after the warm-up of the
        measurement.
        """
        if self.first is None or before.first is None:
            return False
        warmup = (self.description and self.description.warmup) or 0
        return self.first <= max(before.first, self.gap or 0, warmup + 1)


@dataclass
class RunRecords:
    """The records of one format and rank.

    Args:
        kind: The format, of FORMATS.
        rank: Of the process.
        starts: In order; all but the first are resumed.
        table: Costs. Columns are ``iteration``, ``iteration_ms``, ``epoch``, ``clips``, ``frames``, ``loss``,
            ``memory_mib``, ``stages/<stage>/<forward|recompute|backward|total>_ms``, ``stages/<stage>/peak_mib``,
            ``stages/<stage>/allocated_mib``, and the same for ``parts/<stage>/<part>``.
        series: Scalars by name.
        validated: Names of the scalars that come from validations.
    """

    kind: str
    rank: int = 0
    starts: list[Start] = field(default_factory=lambda: [Start()])
    table: SampleTable = field(default_factory=SampleTable)
    series: dict[str, Series] = field(default_factory=dict)
    validated: set[str] = field(default_factory=set)

    def scalar(self, name: str, iteration: int, value: float) -> None:
        """Add a point to the series ``name``."""
        if name not in self.series:
            self.series[name] = Series()
        self.series[name].append(iteration, value)

    def extend(self, later: RunRecords) -> None:
        """Append records of the same start."""
        mine, theirs = self.starts[-1], later.starts[0]
        if theirs.first is not None:
            mine.reach(theirs.first)
            mine.backwards += theirs.backwards
            mine.last = theirs.last
            mine.gap = mine.gap or theirs.gap
        self._append(later)

    def resume(self, later: RunRecords) -> None:
        """Append the records of a start that resumed this training. Its curves replace what it trained again."""
        self.starts += later.starts
        if later.starts[0].first is not None:
            for series in self.series.values():
                series.cut(later.starts[0].first)
        self._append(later)

    def _append(self, later: RunRecords) -> None:
        self.table.merge(later.table)
        for name, series in later.series.items():
            self.series.setdefault(name, Series()).extend(series)
        self.validated |= later.validated


Key = tuple[str, int]
"""Format and rank."""


class RunLog:
    """Everything read from the logs of one run.

    A training that was started from scratch again replaces the earlier ones, which :attr:`left_out` lists; one that was
    resumed continues them. So do different formats and ranks, each by itself.

    Args:
        name: As the user gave it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sources: list[Source] = []
        self.averages: dict[str, float] = {}
        """Milliseconds by stage, and under 'forward', that the last step of a legacy timing file gives as means."""
        self.memory: list[MemoryLine] = []
        """Iterations whose memory was explained."""
        self.left_out: dict[Key, list[Start]] = {}
        self._records: dict[Key, RunRecords] = {}
        self._open: dict[Key, RunRecords] = {}

    def add(self, records: RunRecords, begins: bool = True) -> None:
        """Add records of a new start, or more records of the latest one of their format and rank."""
        key = records.kind, records.rank
        if begins or key not in self._open:
            self._seal(key)
            self._open[key] = records
        else:
            self._open[key].extend(records)

    def seal(self) -> None:
        """Decide what belongs to the run, after the last records."""
        for key in list(self._open):
            self._seal(key)
        processes = self._world_size(('vrtspike', 0))
        for kind, rank in list(self._records):
            # Files of the ranks of an earlier start that had more processes stay in the folder.
            if kind == 'vrtspike' and rank >= (processes or math.inf) != self._world_size((kind, rank)):
                self._leave_out((kind, rank))

    def _world_size(self, key: Key) -> int | None:
        description = self._records[key].starts[-1].description if key in self._records else None
        return description and description.world_size

    def _seal(self, key: Key) -> None:
        latest = self._open.pop(key, None)
        if latest is None:
            return
        latest.starts[-1].clips = latest.table.mean('clips')
        earlier = self._records.get(key)
        if earlier is None:
            self._records[key] = latest
        elif latest.starts[0].is_from_scratch(earlier.starts[-1]):
            self._leave_out(key)
            self._records[key] = latest
        else:
            earlier.resume(latest)

    def _leave_out(self, key: Key) -> None:
        self.left_out.setdefault(key, []).extend(self._records.pop(key).starts)

    @property
    def starts(self) -> dict[Key, list[Start]]:
        """Return the starts of the run by format and rank."""
        return {key: records.starts for key, records in self._records.items()}

    @property
    def descriptions(self) -> list[RunLine]:
        """Return the run lines."""
        return [start.description for starts in self.starts.values() for start in starts if start.description]

    @property
    def series(self) -> dict[str, Series]:
        """Return the scalars by name."""
        return {name: series for records in self._records.values() for name, series in records.series.items()}

    @property
    def validated(self) -> set[str]:
        """Return the names of the scalars that come from validations."""
        return set().union(*(records.validated for records in self._records.values()))

    @property
    def formats(self) -> list[str]:
        """Return the formats that were found, in the order of FORMATS."""
        found = {kind for source in self.sources for kind in source.formats}
        return [kind for kind in FORMATS if kind in found]

    @property
    def cost_formats(self) -> list[str]:
        """Return the formats that have costs, in the order of FORMATS."""
        kinds = {records.kind for records in self._records.values() if records.table.rows}
        return [kind for kind in FORMATS if kind in kinds]

    @property
    def cost_format(self) -> str | None:
        """Return the format that costs are read from, None if no log has costs."""
        return next(iter(self.cost_formats), None)

    def ranks(self) -> dict[int, SampleTable]:
        """Return the tables of costs by rank."""
        return {rank: each.table for (kind, rank), each in sorted(self._records.items()) if kind == self.cost_format}

    def costs(self) -> SampleTable:
        """Return the costs of all ranks together, in the order of iterations."""
        tables = list(self.ranks().values())
        if len(tables) == 1:
            return tables[0]
        pooled = SampleTable()
        for table in tables:
            pooled.merge(table)
        if 'iteration' in pooled:
            pooled.trace.rows = pooled.trace.rows[np.argsort(pooled.column('iteration'), kind='stable')]
        return pooled

    def describe(self, key: str, default: Any = None) -> Any:
        """Return the field ``key`` of the latest run line that has it."""
        values = (getattr(line, key) for line in reversed(self.descriptions))
        return next((value for value in values if value is not None), default)

    def stages(self, group: str = 'stages') -> list[str]:
        """Return the names of the measured stages (or parts, for the group ``'parts'``), in the order they run."""
        measured = {}
        for table in self.ranks().values():
            for name in table.names:
                kind, _, rest = name.partition('/')
                if kind == group:
                    measured[rest.rpartition('/')[0]] = None
        order = {name: i for i, name in enumerate(self.describe('stages', []))}
        return sorted(measured, key=lambda name: order.get(name.partition('/')[0], len(order)))
