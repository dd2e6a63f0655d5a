"""Quantiles of columns of any length in constant memory.

A bin holds the float32 numbers that share their exponent and the first seven bits of their fraction. Its upper edge is
at most 0.8 % above its lower edge, and a quantile is the middle of its bin, so its error is below 0.4 %. Values below
0.001 (mostly milliseconds) count as 0. The sketches of two parts sum to the sketch of the whole.
"""

from __future__ import annotations

import math

import numpy as np

FRACTION_BITS = 7
SMALLEST, LARGEST = 1e-3, 1e7
RELATIVE_ERROR = 2.0 ** -(FRACTION_BITS + 1)


def _slice(values: np.ndarray) -> np.ndarray:
    """Return the leading bits of float32 numbers, which grow with the number."""
    return values.astype(np.float32, order='C').view(np.int32) >> (23 - FRACTION_BITS)


_FIRST, _LAST = _slice(np.array([SMALLEST, LARGEST]))
BINS = int(_LAST - _FIRST) + 3
"""Bin 0 is for values below SMALLEST, the last bin for values above LARGEST."""


class QuantileSketch:
    """Histograms of several columns over bins of almost equal ratio.

    Args:
        columns: Number of columns.
    """

    def __init__(self, columns: int = 0) -> None:
        self.counts = np.zeros((columns, BINS), np.uint32)

    def add(self, values: np.ndarray) -> None:
        """Count ``values`` (N, columns); NaN is not counted."""
        with np.errstate(over='ignore'):
            bins = _slice(values.T) - (_FIRST - 1)
        np.clip(bins, 0, BINS - 1, out=bins)  # negative numbers have a leading 1 and are below all others
        lowest = bins.min(axis=1, initial=BINS - 1)
        present = ~np.isnan(values.T)
        whole = present.all(axis=1)
        for i, (first, column) in enumerate(
            zip(lowest.tolist(), (bins - lowest[:, None]).astype(np.intp), strict=True)
        ):
            counted = np.bincount(column if whole[i] else column[present[i]])
            self.counts[i, first : first + len(counted)] += counted.astype(np.uint32)

    def grow(self, columns: int, zeros: int | np.ndarray = 0) -> None:
        """Append ``columns`` that have ``zeros`` values of 0 so far (one number, or one per column)."""
        fresh = np.zeros((columns, BINS), np.uint32)
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
        bin_of_value = int(np.clip(_slice(np.array([value])) - (_FIRST - 1), 0, BINS - 1)[0])
        return int(self.counts[column, bin_of_value + 1 :].sum())


def _middle(index: int) -> float:
    """Return the middle of a bin, 0 for the bin of the smallest values."""
    edges = (np.array([index, index + 1], np.int32) + (_FIRST - 1)) << (23 - FRACTION_BITS)
    return float(edges.astype(np.int32).view(np.float32).mean()) if index else 0.0
