"""What was read from logs, whatever their format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vrtspike.analysis.statistics.table import Table
from vrtspike.analysis.statistics.trace import Trace

FORMATS = ('vrtspike', 'legacy_timing', 'legacy_print', 'mmengine', 'legacy_train')
"""By how much each says about stages: where a run has several, its costs are read from the first."""

LEGACY = ('legacy_timing', 'legacy_print', 'legacy_train')
FORWARD_ONLY = ('legacy_timing', 'legacy_print')
"""Formats whose 'iteration_ms' is the forward pass alone."""

NO_STAGES = ('mmengine', 'legacy_train')
"""Formats that time at most the waiting for data apart from the iteration."""

SERIES_BATCH = 1024


@dataclass
class Source:
    """One file that was read.

    Args:
        path: As it was found.
        formats: What it holds, of FORMATS.
        lines: How many lines it has.
        records: How many of them were used.
        damaged: How many begin like a record and cannot be read.
        first_damaged: Number of the first such line, from 1; None where that is not known.
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
    """A scalar over the iterations: a thinned curve, exact extremes, and what was not finite."""

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
        """Return the last point, None where no value was finite; so for the next two."""
        self._flush()
        return self._last

    @property
    def highest(self) -> tuple[int, float] | None:
        """Return the first of the points with the greatest value."""
        self._flush()
        return self._highest

    @property
    def lowest(self) -> tuple[int, float] | None:
        """Return the first of the points with the least value."""
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
        """Take in the points that were added since the last time."""
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
        name: What the user called it.
        sources: The files.
        tables: Costs by (format, rank); see :class:`vrtspike.analysis.statistics.table.Table` for the names of columns:
            ``iteration``, ``iteration_ms``, ``epoch``, ``clips``, ``frames``, ``loss``, ``memory_mib``,
            ``stages/<stage>/<forward|recompute|backward|total>_ms``, ``stages/<stage>/peak_mib``,
            ``stages/<stage>/allocated_mib``, and the same for ``parts/<stage>/<part>``.
        series: Scalars by name.
        descriptions: The lines of kind 'run'.
        averages: Milliseconds by stage, and by 'forward', as the last step of a legacy timing file averages them.
    """

    name: str
    sources: list[Source] = field(default_factory=list)
    tables: dict[tuple[str, int], Table] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    descriptions: list[dict[str, Any]] = field(default_factory=list)
    averages: dict[str, float] = field(default_factory=dict)

    def table(self, kind: str, rank: int = 0) -> Table:
        """Return the table of a format and a rank, a new one at first."""
        return self.tables.setdefault((kind, rank), Table())

    def scalar(self, name: str, step: int, value: float) -> None:
        """Add a point to the series ``name``."""
        if name not in self.series:
            self.series[name] = Series()
        self.series[name].append(step, value)

    @property
    def formats(self) -> list[str]:
        """Return the formats that were found, those that say most about stages first."""
        found = {kind for source in self.sources for kind in source.formats}
        return [kind for kind in FORMATS if kind in found]

    @property
    def cost_format(self) -> str | None:
        """Return the format that costs are read from, None where no log has any."""
        kinds = {kind for (kind, _), table in self.tables.items() if table.rows}
        return next((kind for kind in FORMATS if kind in kinds), None)

    def ranks(self) -> dict[int, Table]:
        """Return the tables of costs by rank."""
        return {rank: table for (kind, rank), table in sorted(self.tables.items()) if kind == self.cost_format}

    def costs(self) -> Table:
        """Return the costs of all ranks together, in the order of iterations."""
        tables = list(self.ranks().values())
        if len(tables) == 1:
            return tables[0]
        pooled = Table()
        for table in tables:
            pooled.merge(table)
        if 'iteration' in pooled:
            pooled.trace.rows = pooled.trace.rows[np.argsort(pooled.column('iteration'), kind='stable')]
        return pooled

    def describe(self, key: str, default: Any = None) -> Any:
        """Return what the latest line of kind 'run' says under ``key``."""
        return next((line[key] for line in reversed(self.descriptions) if line.get(key) is not None), default)

    def stages(self, group: str = 'stages') -> list[str]:
        """Return the names of the stages (or ``'parts'``) that costs were measured of, in the order they run."""
        measured = {}
        for table in self.ranks().values():
            for name in table.names:
                kind, _, rest = name.partition('/')
                if kind == group:
                    measured[rest.rpartition('/')[0]] = None
        order = {name: i for i, name in enumerate(self.describe('stages', []))}
        return sorted(measured, key=lambda name: order.get(name.partition('/')[0], len(order)))
