"""Rows of a log: all rows of a short log, an even and unbiased selection from a long log."""

from __future__ import annotations

import numpy as np

CAPACITY = 2048
"""Largest number of rows in a trace. Of a longer log it has at least half as many."""


class Trace:
    """Keeps one row of every ``stride``, which doubles whenever CAPACITY is exceeded.

    A hash of the window's number decides which row of the window is kept. A fixed position would miss periodic events,
    such as an optimizer step in every sixth iteration.

    Args:
        columns: Width of a row.
    """

    def __init__(self, columns: int = 0) -> None:
        self.stride = 1
        self.seen = 0
        self._chunks = [np.empty((0, columns))]
        self._kept = 0

    @property
    def rows(self) -> np.ndarray:
        """Return the kept rows, (rows, columns)."""
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        return self._chunks[0]

    @rows.setter
    def rows(self, rows: np.ndarray) -> None:
        self._chunks, self._kept = [rows], len(rows)

    @property
    def exact(self) -> bool:
        """Whether every row was kept."""
        return self.stride == 1

    def add(self, rows: np.ndarray) -> None:
        """Append ``rows`` (N, columns) that follow those seen so far."""
        windows = np.arange(self.seen // self.stride, (self.seen + len(rows) - 1) // self.stride + 1)
        positions = windows * self.stride + _scattered(windows) % self.stride - self.seen
        self._append(rows[positions[(positions >= 0) & (positions < len(rows))]])
        self.seen += len(rows)

    def merge(self, other: Trace) -> None:
        """Append the rows of another trace with the same columns."""
        while self.stride < other.stride:
            self._halve()
        rows, stride = other.rows, other.stride
        while stride < self.stride:
            rows, stride = _every_other(rows), 2 * stride
        self._append(rows)
        self.seen += other.seen

    def grow(self, columns: np.ndarray) -> None:
        """Append columns whose rows so far hold the values ``columns`` (one per column)."""
        self.rows = np.hstack([self.rows, np.broadcast_to(columns, (len(self.rows), len(columns)))])

    def _append(self, rows: np.ndarray) -> None:
        self._chunks.append(rows.copy())  # a view would keep all rows of the batch alive
        self._kept += len(rows)
        while self._kept > CAPACITY:
            self._halve()

    def _halve(self) -> None:
        self.rows = _every_other(self.rows)
        self.stride *= 2


def _every_other(rows: np.ndarray) -> np.ndarray:
    """Return one row of every pair; a last row without a partner is kept."""
    pairs = np.arange((len(rows) + 1) // 2)
    return rows[np.minimum(2 * pairs + _scattered(pairs) % 2, len(rows) - 1)]


def _scattered(numbers: np.ndarray) -> np.ndarray:
    """Return hashes of ``numbers`` that look like independent random numbers."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xD6E8FEB86659FD93)
    return (mixed >> np.uint64(33)).astype(np.int64)
