"""Confidence intervals for statistics of iterations, which are autocorrelated.

A slow iteration is followed by slow ones: the clock rate drifts, a neighbour takes the disk. Resampling single
iterations would treat them as independent and give intervals that are far too narrow. Therefore the rows of a trace are
cut into consecutive blocks of about sqrt(n) rows (the usual length for batch means), and whole blocks are resampled.
With few blocks the spread itself is uncertain, so the intervals use Student's quantile with one degree of freedom less
than there are blocks. Drift that is slower than a block is not covered; the stability report looks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
FEWEST_BLOCKS = 4
"""With fewer blocks there is no interval."""


@dataclass(frozen=True)
class Blocks:
    """Rows in consecutive blocks, and how often each resample contains each block.

    Args:
        rows: (n, columns).
        edges: First row of every block.
        weights: (RESAMPLES, blocks).
    """

    rows: np.ndarray
    edges: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, seed: int = 0) -> Blocks:
        """Cut ``rows`` (n, columns) into blocks and draw the resamples. The same seed draws the same resamples."""
        rows = rows if rows.ndim == 2 else rows[:, None]
        number = max(len(rows) // max(math.isqrt(len(rows)), 1), 1)
        edges = np.linspace(0, len(rows), number, endpoint=False).astype(int)
        weights = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=RESAMPLES)
        return cls(rows, edges, weights)

    @property
    def number(self) -> int:
        """Return the number of blocks."""
        return len(self.edges)

    @property
    def enough(self) -> bool:
        """Whether there are enough blocks for an interval."""
        return self.number >= FEWEST_BLOCKS

    def sums(self) -> np.ndarray:
        """Return the resampled sums of every column, (RESAMPLES, columns)."""
        return self.weights @ np.add.reduceat(self.rows, self.edges)

    def ratios(self) -> np.ndarray:
        """Return the resampled sums of all columns but the first, divided by those of the first.

        A resample in which the first column sums to 0 has no ratio. It is left out.
        """
        sums = self.sums()
        sums = sums[sums[:, 0] != 0]
        return sums[:, 1:] / sums[:, :1]

    def means(self) -> np.ndarray:
        """Return the resampled means of every column, (RESAMPLES, columns)."""
        sizes = np.diff(np.append(self.edges, len(self.rows)))
        return self.sums() / (self.weights @ sizes)[:, None]

    def medians(self) -> np.ndarray:
        """Return the resampled medians of every column, (RESAMPLES, columns)."""
        of_row = np.repeat(np.arange(self.number), np.diff(np.append(self.edges, len(self.rows))))
        weights = self.weights.astype(np.int32)
        return np.column_stack([_weighted_medians(column, weights, of_row) for column in self.rows.T])


def interval(estimate: float, resampled: np.ndarray, blocks: int) -> list[float]:
    """Return the ends of the LEVEL confidence interval around ``estimate``.

    Args:
        estimate: The statistic of all data.
        resampled: The statistic of every resample.
        blocks: Number of blocks; the smaller number if two runs are compared.
    """
    half = student_quantile(blocks - 1) * spread(resampled, blocks)
    return [float(estimate - half), float(estimate + half)]


def spread(resampled: np.ndarray, blocks: int) -> np.ndarray:
    """Return the standard error of a statistic from its resamples (along the first axis) of so many blocks."""
    return np.std(resampled, axis=0) * math.sqrt(blocks / (blocks - 1))


def student_quantile(freedom: int, level: float = LEVEL) -> float:
    """Return the two-sided quantile of Student's distribution.

    >>> round(student_quantile(30), 3)
    2.042
    """
    # scipy.special takes a third of the time that scipy.stats takes to import.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def student_from_normal(z: float, freedom: int) -> float:
    """Return the quantile of Student's distribution at the probability at which the normal one has ``z``."""
    from scipy.special import ndtr, stdtrit

    return -float(stdtrit(freedom, ndtr(-z)))  # the lower tail, where probabilities near 0 keep their precision


def simultaneous_quantile(resampled: np.ndarray, freedom: int, level: float = LEVEL) -> float:
    """Return the half-width, in standard errors, of intervals that hold jointly for all columns.

    Of 20 unchanged stages, one is outside of its own 95 % interval on average. Therefore this uses the distribution of
    the largest deviation among all columns.

    Args:
        resampled: (RESAMPLES, columns); columns without spread are left out.
        freedom: Degrees of freedom: the number of blocks minus one.
        level: Of confidence.
    """
    errors = np.std(resampled, axis=0)
    varying = resampled[:, errors > 0]
    if not varying.shape[1]:
        return student_quantile(freedom, level)
    deviations = np.abs(varying - varying.mean(axis=0)) / errors[errors > 0]
    z = float(np.quantile(deviations.max(axis=1), level))
    return student_from_normal(z, freedom)


def autocorrelation(values: np.ndarray) -> float:
    """Return the correlation of consecutive values; 0 if there are too few or they are all equal."""
    centred = values - values.mean() if len(values) else values
    power = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / power if len(values) > 2 and power > 0 else 0.0


def _weighted_medians(values: np.ndarray, weights: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """Return the median of ``values`` in every resample, given the weight of each value's block."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[:, of_row[order]], axis=1, dtype=np.int32)
    middle = (cumulated[:, -1:] + 1) // 2
    return values[order][(cumulated < middle).sum(axis=1)]
