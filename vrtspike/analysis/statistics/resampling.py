"""Confidence intervals for statistics of iterations, which are autocorrelated.

A slow iteration is followed by slow ones: the clock rate drifts, a neighbour takes the disk. Resampling single
iterations would take them for independent and find intervals that are far too narrow. So the rows of a trace are cut
into consecutive blocks of about sqrt(n) rows (the usual length for batch means), and whole blocks are resampled. With
few blocks the spread itself is uncertain, which Student's quantile with one degree of freedom less than there are
blocks allows for. Drift that is slower than a block is not covered; the stability report looks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
FEWEST_BLOCKS = 4
"""Below these no interval is given."""


@dataclass(frozen=True)
class Blocks:
    """Rows in consecutive blocks, and how often each resample takes each block.

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
        """Cut ``rows`` (n, columns) into blocks and draw the resamples, the same ones for the same seed."""
        rows = rows if rows.ndim == 2 else rows[:, None]
        number = max(len(rows) // max(math.isqrt(len(rows)), 1), 1)
        edges = np.linspace(0, len(rows), number, endpoint=False).astype(int)
        weights = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=RESAMPLES)
        return cls(rows, edges, weights)

    @property
    def number(self) -> int:
        """Return how many blocks there are."""
        return len(self.edges)

    @property
    def enough(self) -> bool:
        """Whether there are blocks enough for an interval."""
        return self.number >= FEWEST_BLOCKS

    def sums(self) -> np.ndarray:
        """Return the resampled sums of every column, (RESAMPLES, columns)."""
        return self.weights @ np.add.reduceat(self.rows, self.edges)

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
        estimate: From all the data.
        resampled: The same statistic of every resample.
        blocks: How many blocks were resampled; the smaller number where two runs are compared.
    """
    half = student_quantile(blocks - 1) * spread(resampled, blocks)
    return [float(estimate - half), float(estimate + half)]


def spread(resampled: np.ndarray, blocks: int) -> np.ndarray:
    """Return the standard error that resamples tell (along their first axis), for that many blocks."""
    return np.std(resampled, axis=0) * math.sqrt(blocks / (blocks - 1))


def student_quantile(freedom: int, level: float = LEVEL) -> float:
    """Return Student's two-sided quantile by Hill's expansion, within 1 % from 3 degrees of freedom on.

    >>> round(student_quantile(30), 3)
    2.042
    """
    return _student(NormalDist().inv_cdf((1 + level) / 2), freedom)


def _student(z: float, freedom: int) -> float:
    """Return the quantile of Student's distribution where the normal one has ``z``."""
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def simultaneous_quantile(resampled: np.ndarray, freedom: int, level: float = LEVEL) -> float:
    """Return how many standard errors make intervals that *all* columns' values lie in, ``level`` of the time.

    Of 20 stages that did not change, one leaves its own 95 % interval. So the largest of all deviations is looked at.

    Args:
        resampled: (RESAMPLES, columns); columns without spread are left out.
        freedom: Degrees of freedom, blocks less one.
        level: Of confidence.
    """
    errors = np.std(resampled, axis=0)
    varying = resampled[:, errors > 0]
    if not varying.shape[1]:
        return student_quantile(freedom, level)
    deviations = np.abs(varying - varying.mean(axis=0)) / errors[errors > 0]
    z = float(np.quantile(deviations.max(axis=1), level))
    return _student(z, freedom)


def autocorrelation(values: np.ndarray) -> float:
    """Return the correlation of consecutive values; 0 where there are too few or they never change."""
    centred = values - values.mean() if len(values) else values
    power = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / power if len(values) > 2 and power > 0 else 0.0


def _weighted_medians(values: np.ndarray, weights: np.ndarray, of_row: np.ndarray) -> np.ndarray:
    """Return the median of ``values`` in every resample, given the weight of each value's block."""
    order = np.argsort(values)
    cumulated = np.cumsum(weights[:, of_row[order]], axis=1, dtype=np.int32)
    middle = (cumulated[:, -1:] + 1) // 2
    return values[order][(cumulated < middle).sum(axis=1)]
