"""Quantiles of columns of any length in constant memory.

The upper edge of a bin is 1 % above its lower edge, and a quantile is the geometric middle of its bin, so its error is
at most 0.5 %. Values below 0.001 (mostly milliseconds) count as 0. The sketches of two parts sum to the sketch of the
whole.
"""

from __future__ import annotations

import math

import numpy as np

GROWTH = 1.01
SMALLEST = 1e-3
LARGEST = 1e7
BINS = math.ceil(math.log(LARGEST / SMALLEST) / math.log(GROWTH)) + 2
"""Bin 0 is for values below SMALLEST, the last bin for values above LARGEST."""

RELATIVE_ERROR = math.sqrt(GROWTH) - 1


class QuantileSketch:
    """Histograms of several columns over bins of equal ratio.

    Args:
        columns: Number of columns.
    """

    def __init__(self, columns: int = 0) -> None:
        self.counts = np.zeros((columns, BINS), np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count ``values`` (N, columns); NaN is not counted."""
        columns = values.shape[1]
        with np.errstate(divide='ignore', invalid='ignore'):
            position = np.log(values * (1 / SMALLEST)) * (1 / math.log(GROWTH)) + 1
        absent = np.isnan(values)
        # Negative values have no logarithm. Like all small values, they belong in bin 0.
        position = np.nan_to_num(position, copy=False, nan=0.0, posinf=BINS, neginf=0.0)
        index = np.clip(position, 0, BINS - 1, out=position).astype(np.int64)
        index += np.arange(columns) * BINS
        flat = index[~absent] if absent.any() else index.ravel()
        self.counts += np.bincount(flat, minlength=columns * BINS).reshape(columns, BINS)

    def grow(self, columns: int, zeros: int | np.ndarray = 0) -> None:
        """Append ``columns`` that have ``zeros`` values of 0 so far (one number, or one per column)."""
        fresh = np.zeros((columns, BINS), np.int64)
        fresh[:, 0] = zeros
        self.counts = np.concatenate([self.counts, fresh])

    def quantile(self, column: int, q: float) -> float:
        """Return the ``q``-quantile of a column, NaN if it is empty."""
        cumulated = np.cumsum(self.counts[column])
        if not cumulated[-1]:
            return math.nan
        rank = int(q * (cumulated[-1] - 1))
        return _middle(int(np.searchsorted(cumulated, rank, side='right')))

    def count_above(self, column: int, value: float) -> int:
        """Return the number of values of a column in bins above that of ``value``."""
        position = math.log(value / SMALLEST) / math.log(GROWTH) + 1 if value > SMALLEST else 0
        return int(self.counts[column, min(int(position), BINS - 1) + 1 :].sum())


def _middle(index: int) -> float:
    return 0.0 if index == 0 else SMALLEST * GROWTH ** (index - 0.5)
