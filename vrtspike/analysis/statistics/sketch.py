"""Quantiles of columns of any length in memory of constant size.

A value falls into a bin whose upper edge is 1 % above its lower one, and a quantile is its bin's geometric middle: it
is wrong by 0.5 % of its value at most. Values below 0.001 (ms, mostly) count as 0. Sketches of parts add up to
the sketch of the whole.
"""

from __future__ import annotations

import math

import numpy as np

GROWTH = 1.01
SMALLEST = 1e-3
LARGEST = 1e7
BINS = math.ceil(math.log(LARGEST / SMALLEST) / math.log(GROWTH)) + 2
"""Bin 0 holds values below SMALLEST, the last one those above LARGEST."""

RELATIVE_ERROR = math.sqrt(GROWTH) - 1


class QuantileSketch:
    """Histograms of several columns over bins of equal ratio.

    Args:
        columns: How many columns there are.
    """

    def __init__(self, columns: int = 0) -> None:
        self.counts = np.zeros((columns, BINS), np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count ``values`` (N, columns); NaN is no value."""
        columns = values.shape[1]
        with np.errstate(divide='ignore', invalid='ignore'):
            position = np.log(values * (1 / SMALLEST)) * (1 / math.log(GROWTH)) + 1
        absent = np.isnan(values)
        # Negative values have no logarithm; like all small ones they belong into bin 0.
        position = np.nan_to_num(position, copy=False, nan=0.0, posinf=BINS, neginf=0.0)
        index = np.clip(position, 0, BINS - 1, out=position).astype(np.int64)
        index += np.arange(columns) * BINS
        flat = index[~absent] if absent.any() else index.ravel()
        self.counts += np.bincount(flat, minlength=columns * BINS).reshape(columns, BINS)

    def grow(self, columns: int, zeros: int | np.ndarray = 0) -> None:
        """Append ``columns``, which have held ``zeros`` (one number, or one per column) values of 0 so far."""
        fresh = np.zeros((columns, BINS), np.int64)
        fresh[:, 0] = zeros
        self.counts = np.concatenate([self.counts, fresh])

    def quantile(self, column: int, q: float) -> float:
        """Return the ``q``-quantile of a column, NaN where it is empty."""
        cumulated = np.cumsum(self.counts[column])
        if not cumulated[-1]:
            return math.nan
        rank = int(q * (cumulated[-1] - 1))
        return _middle(int(np.searchsorted(cumulated, rank, side='right')))

    def count_above(self, column: int, value: float) -> int:
        """Return how many values of a column lie in bins above the one of ``value``."""
        position = math.log(value / SMALLEST) / math.log(GROWTH) + 1 if value > SMALLEST else 0
        return int(self.counts[column, min(int(position), BINS - 1) + 1 :].sum())


def _middle(index: int) -> float:
    return 0.0 if index == 0 else SMALLEST * GROWTH ** (index - 0.5)
