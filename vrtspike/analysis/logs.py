"""The contents of logs of any format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.analysis.statistics.trace import Trace
from vrtspike.records.stage_costs import RunLine

FORMATS = ('vrtspike', 'legacy_timing', 'legacy_print', 'mmengine', 'legacy_train')
"""Those that tell most about stages come first. If a run has several formats, its costs are read from the first."""

LEGACY = ('legacy_timing', 'legacy_print', 'legacy_train')
FORWARD_ONLY = ('legacy_timing', 'legacy_print')
"""Formats whose ``iteration_ms`` is the time of the forward pass only."""

NO_STAGES = ('mmengine', 'legacy_train')
"""Formats without times of stages, except waiting for data."""

SERIES_BATCH = 1024


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


class Series:
    """A scalar over the iterations: a thinned curve, exact extremes, and the values that were not finite."""

    def __init__(self) -> None:
        self._new: list[tuple[int, float]] = []
        self._trace = Trace(2)
        self._last = self._highest = self._lowest = None
        self._not_finite = 0
        self._first_not_finite: int | None = None

    def append(self, step: int, value: float) -> None:
        """Add one point."""
        self._new.append((step, value))
        if len(self._new) >= SERIES_BATCH:
            self._flush()

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (steps, values) of the thinned curve."""
        self._flush()
        return self._trace.rows[:, 0], self._trace.rows[:, 1]

    @property
    def last(self) -> tuple[int, float] | None:
        """Return the last point, None if no value was finite."""
        self._flush()
        return self._last

    @property
    def highest(self) -> tuple[int, float] | None:
        """Return the first point with the largest value, None if no value was finite."""
        self._flush()
        return self._highest

    @property
    def lowest(self) -> tuple[int, float] | None:
        """Return the first point with the smallest value, None if no value was finite."""
        self._flush()
        return self._lowest

    @property
    def not_finite(self) -> int:
        """Return how many values were not finite."""
        self._flush()
        return self._not_finite

    @property
    def first_not_finite(self) -> int | None:
        """Return the step of the first value that was not finite."""
        self._flush()
        return self._first_not_finite

    def _flush(self) -> None:
        """Process the points that were added since the last call."""
        if not self._new:
            return
        rows = np.array(self._new, dtype=float)
        self._new = []
        finite = np.isfinite(rows[:, 1])
        if not finite.all():
            self._not_finite += int(np.count_nonzero(~finite))
            if self._first_not_finite is None:
                self._first_not_finite = int(rows[~finite][0, 0])
            rows = rows[finite]
        if len(rows):
            self._trace.add(rows)
            self._last = _point(rows[-1])
            highest, lowest = _point(rows[np.argmax(rows[:, 1])]), _point(rows[np.argmin(rows[:, 1])])
            if self._highest is None or highest[1] > self._highest[1]:
                self._highest = highest
            if self._lowest is None or lowest[1] < self._lowest[1]:
                self._lowest = lowest


def _point(row: np.ndarray) -> tuple[int, float]:
    return int(row[0]), float(row[1])


@dataclass
class RunLog:
    """Everything read from the logs of one run.

    Args:
        name: As the user gave it.
        sources: The files.
        tables: Costs by (format, rank). Columns are ``iteration``, ``iteration_ms``, ``epoch``, ``clips``, ``frames``,
            ``loss``, ``memory_mib``, ``stages/<stage>/<forward|recompute|backward|total>_ms``,
            ``stages/<stage>/peak_mib``, ``stages/<stage>/allocated_mib``, and the same for ``parts/<stage>/<part>``.
        series: Scalars by name.
        descriptions: The run lines.
        averages: Milliseconds by stage, and under 'forward', that the last step of a legacy timing file gives as means.
    """

    name: str
    sources: list[Source] = field(default_factory=list)
    tables: dict[tuple[str, int], SampleTable] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    descriptions: list[RunLine] = field(default_factory=list)
    averages: dict[str, float] = field(default_factory=dict)

    def table(self, kind: str, rank: int = 0) -> SampleTable:
        """Return the table of a format and a rank; create it if needed."""
        return self.tables.setdefault((kind, rank), SampleTable())

    def scalar(self, name: str, step: int, value: float) -> None:
        """Add a point to the series ``name``."""
        if name not in self.series:
            self.series[name] = Series()
        self.series[name].append(step, value)

    @property
    def formats(self) -> list[str]:
        """Return the formats that were found, in the order of FORMATS."""
        found = {kind for source in self.sources for kind in source.formats}
        return [kind for kind in FORMATS if kind in found]

    @property
    def cost_format(self) -> str | None:
        """Return the format that costs are read from, None if no log has costs."""
        kinds = {kind for (kind, _), table in self.tables.items() if table.rows}
        return next((kind for kind in FORMATS if kind in kinds), None)

    def ranks(self) -> dict[int, SampleTable]:
        """Return the tables of costs by rank."""
        return {rank: table for (kind, rank), table in sorted(self.tables.items()) if kind == self.cost_format}

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
