"""The samples of a log as streaming statistics: a row per sample, a column per quantity, memory of constant size."""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from vrtspike.analysis.statistics.sketch import QuantileSketch
from vrtspike.analysis.statistics.trace import Trace
from vrtspike.errors import LogError
from vrtspike.records.stage_costs import PHASE_KEYS

MOST_COLUMNS = 4096
"""More columns than this cannot come from one network, and would need too much memory."""

WORST = 5
"""How many of the slowest iterations are kept with their numbers."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a column; quantiles of a long log are within 0.5 %, the rest is exact."""

    median: float
    mean: float
    p5: float
    p95: float
    iqr: float
    min: float
    max: float
    count: int


class SampleTable:
    """Sums, extremes, quantiles and a trace of named columns.

    Columns may appear at any time. In rows without it, a phase's time ``<group>/<name>/<phase>_ms`` counts as 0, and
    any other quantity as not measured.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.rows = 0
        self.present = np.zeros(0, np.int64)
        self.sums, self.lows, self.highs = np.zeros(0), np.zeros(0), np.zeros(0)
        self.sketch = QuantileSketch()
        self.trace = Trace()
        self.worst: list[tuple[float, int]] = []

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def add(self, names: tuple[str, ...], rows: np.ndarray) -> None:
        """Add ``rows`` (N, len(names)), NaN where a quantity was not measured."""
        rows = self._arranged(names, rows)
        self.rows += len(rows)
        missing = np.isnan(rows)
        self.present += len(rows) - np.count_nonzero(missing, axis=0)
        self.sums += np.where(missing, 0, rows).sum(axis=0)
        self.lows = np.fmin(self.lows, np.fmin.reduce(rows))
        self.highs = np.fmax(self.highs, np.fmax.reduce(rows))
        self.sketch.add(rows)
        self.trace.add(rows)
        if 'iteration_ms' in names and 'iteration' in names:
            self._keep_worst(self._pairs(rows))

    def merge(self, other: SampleTable) -> None:
        """Add the rows of another table after this one's."""
        self._grow(other.names)
        aligned = other._reordered(self.names)
        self.rows += other.rows
        self.present += aligned.present
        self.sums += aligned.sums
        self.lows = np.fmin(self.lows, aligned.lows)
        self.highs = np.fmax(self.highs, aligned.highs)
        self.sketch.counts += aligned.sketch.counts
        self.trace.merge(aligned.trace)
        self._keep_worst(other.worst)

    def column(self, name: str) -> np.ndarray:
        """Return the values of a column that the trace kept."""
        return self.trace.rows[:, self.names.index(name)]

    def total(self, name: str) -> float:
        """Return the exact sum of a column; 0 if there is none."""
        return float(self.sums[self.names.index(name)]) if name in self.names else 0.0

    def mean(self, name: str) -> float | None:
        """Return the exact mean of a column, None if it was never measured."""
        number = self.number(name)
        return self.total(name) / number if number else None

    def number(self, name: str) -> int:
        """Return how many values a column has."""
        return int(self.present[self.names.index(name)]) if name in self.names else 0

    def lowest(self, name: str) -> float | None:
        """Return the least value of a column, None if it has none."""
        return float(self.lows[self.names.index(name)]) if self.number(name) else None

    def highest(self, name: str) -> float | None:
        """Return the greatest value of a column, None if it has none."""
        return float(self.highs[self.names.index(name)]) if self.number(name) else None

    def quantiles(self, name: str, qs: Sequence[float]) -> list[float]:
        """Return quantiles of a column: exact if the trace holds every row, otherwise from the sketch."""
        index = self.names.index(name)
        if self.trace.exact:
            return [float(q) for q in np.nanquantile(self.trace.rows[:, index], qs)]
        low, high = self.lows[index], self.highs[index]
        return [float(min(max(self.sketch.quantile(index, q), low), high)) for q in qs]

    def count_above(self, name: str, value: float) -> int:
        """Return how many values of a column exceed ``value``, in a long log with the precision of the sketch."""
        if self.trace.exact:
            return int(np.count_nonzero(self.column(name) > value))
        return self.sketch.count_above(self.names.index(name), value)

    def statistics(self, name: str) -> Statistics | None:
        """Return the statistics of a column, None if it has no value."""
        if not self.number(name):
            return None
        p5, p25, median, p75, p95 = self.quantiles(name, (0.05, 0.25, 0.5, 0.75, 0.95))
        return Statistics(
            median=median,
            mean=self.mean(name),
            p5=p5,
            p95=p95,
            iqr=p75 - p25,
            min=self.lowest(name),
            max=self.highest(name),
            count=self.number(name),
        )

    def _arranged(self, names: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
        """Return ``rows`` in the order of this table's columns, adding columns for new names."""
        self._grow(names)
        if names == self.names:
            return rows
        arranged = np.tile(absent(self.names), (len(rows), 1))
        arranged[:, [self.names.index(name) for name in names]] = rows
        return arranged

    def _grow(self, names: Iterable[str]) -> None:
        known = set(self.names)
        fresh = tuple(name for name in names if name not in known)
        if not fresh:
            return
        if len(known) + len(fresh) > MOST_COLUMNS:
            raise LogError(
                f'more than {MOST_COLUMNS} quantities of stages and parts, which no network has: the log is '
                'damaged, or files of several networks were joined'
            )
        values = absent(fresh)
        zeros = np.where(np.isnan(values), 0, self.rows)
        extreme = values if self.rows else np.full(len(fresh), math.nan)
        self.names += fresh
        self.present = np.concatenate([self.present, zeros])
        self.sums = np.concatenate([self.sums, np.zeros(len(fresh))])
        self.lows, self.highs = np.concatenate([self.lows, extreme]), np.concatenate([self.highs, extreme])
        self.sketch.grow(len(fresh), zeros)
        self.trace.grow(values)

    def _reordered(self, names: tuple[str, ...]) -> SampleTable:
        """Return this table with its columns in the order of ``names``, which include all of them."""
        if names == self.names:
            return self
        table = copy.copy(self)
        table.trace, table.sketch = copy.copy(self.trace), copy.copy(self.sketch)
        table._grow(names)  # replaces the arrays, so this table stays as it is
        order = [table.names.index(name) for name in names]
        table.names = names
        for part in ('present', 'sums', 'lows', 'highs'):
            setattr(table, part, getattr(table, part)[order])
        table.sketch.counts = table.sketch.counts[order]
        table.trace.rows = table.trace.rows[:, order]
        return table

    def _pairs(self, rows: np.ndarray) -> list[tuple[float, int]]:
        ms, iteration = (rows[:, self.names.index(name)] for name in ('iteration_ms', 'iteration'))
        slowest = np.argpartition(ms, -min(WORST, len(ms)))[-WORST:]
        return [(float(ms[i]), int(iteration[i])) for i in slowest if not math.isnan(ms[i] + iteration[i])]

    def _keep_worst(self, pairs: Iterable[tuple[float, int]]) -> None:
        self.worst = heapq.nlargest(WORST, [*self.worst, *pairs])


class RowBuffer:
    """Collects rows that are dicts and adds them to a table in batches.

    Args:
        table: Where they go.
        size: Rows in a batch.
    """

    def __init__(self, table: SampleTable, size: int = 512) -> None:
        self.table, self.size = table, size
        self.rows: list[dict[str, float]] = []

    def append(self, row: dict[str, float]) -> None:
        """Add one row."""
        self.rows.append(row)
        if len(self.rows) >= self.size:
            self.flush()

    def flush(self) -> None:
        """Add the collected rows to the table."""
        if self.rows:
            names = tuple(dict.fromkeys(name for row in self.rows for name in row))
            values = list(zip(names, absent(names).tolist(), strict=True))
            self.table.add(names, np.array([[row.get(name, value) for name, value in values] for row in self.rows]))
            self.rows = []


TIMES = (*PHASE_KEYS, 'total_ms')


def absent(names: Iterable[str]) -> np.ndarray:
    """Return the value of a missing quantity, by column: a stage that did not run took no time."""
    return np.array([0.0 if '/' in name and name.rpartition('/')[2] in TIMES else math.nan for name in names])
