"""Means with intervals, and whether a difference in dB is informative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import mean, stdev

import msgspec

from vrtspike.analysis.statistics.resampling import student_quantile

CONFIDENCE = 0.95
LEAST_SEEDS = 3
LEAST_GAIN_DB = 2.0
"""Minimum gain of a reference over the blurred input. With less, it has learnt too little for a comparison."""

NOT_INFORMATIVE = 'not informative'


class Interval(msgspec.Struct, frozen=True):
    """A mean with Student's 95 % interval.

    Args:
        mean: None without any value.
        low: Lower end; None with fewer than two values.
        high: Upper end; None with fewer than two values.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None

    def text(self, unit: str = '') -> str:
        """Return the mean and, in brackets, the interval."""
        return f'{self.mean:+.2f}{unit} [{self.low:+.2f}, {self.high:+.2f}]'


class Difference(Interval, frozen=True, kw_only=True):
    """A difference from the reference in dB, paired by seed.

    Args:
        seeds: The seeds that both have.
        verdict: 'better', 'worse', 'no difference seen' or 'not informative'.
        why: Why it is not informative; empty otherwise.
    """

    seeds: list[int]
    verdict: str
    why: str


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of ``values`` with its 95 % interval."""
    if not values:
        return Interval()
    centre = mean(values)
    if len(values) == 1:
        return Interval(centre)
    half = student_quantile(len(values) - 1, CONFIDENCE) * stdev(values) / sqrt(len(values))
    return Interval(centre, centre - half, centre + half)


def compare(
    psnr: Mapping[int, float], reference: Mapping[int, float], reference_gain: Mapping[int, float]
) -> Difference:
    """Return the difference from the reference over the seeds that both have, and the verdict on it.

    Args:
        psnr: PSNR in dB, by seed.
        reference: PSNR of the reference in dB, by seed.
        reference_gain: Gain of the reference over the blurred input in dB, by seed.
    """
    seeds = sorted(set(psnr) & set(reference))
    found = interval([psnr[seed] - reference[seed] for seed in seeds])
    gains = [reference_gain[seed] for seed in seeds or reference_gain]
    why, verdict = '', NOT_INFORMATIVE
    if gains and min(gains) < LEAST_GAIN_DB:
        why = f'the baseline gained {min(gains):.2f} dB over the blurred input; {LEAST_GAIN_DB:.0f} dB are needed'
    elif len(seeds) < LEAST_SEEDS:
        why = f'{len(seeds)} seeds in common with the baseline; {LEAST_SEEDS} are needed'
    else:
        verdict = 'better' if found.low > 0 else 'worse' if found.high < 0 else 'no difference seen'
    return Difference(found.mean, found.low, found.high, seeds=seeds, verdict=verdict, why=why)
