"""Means with intervals, and what a difference in dB is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import mean, stdev

import msgspec

from vrtspike.analysis.statistics.resampling import student_quantile

CONFIDENCE = 0.95
LEAST_SEEDS = 3
LEAST_GAIN_DB = 2.0
"""A reference that gained less than this over the blurred input has learnt too little to be compared with."""

NOT_INFORMATIVE = 'not informative'


class Interval(msgspec.Struct, frozen=True):
    """A mean with Student's 95 % interval.

    Args:
        mean: None without any value.
        low: Lower end; None with fewer than two values.
        high: Upper end, likewise.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None


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
        psnr: By seed, in dB.
        reference: PSNR of the reference, likewise.
        reference_gain: What the reference gained over the blurred input, likewise.
    """
    seeds = sorted(set(psnr) & set(reference))
    found = interval([psnr[seed] - reference[seed] for seed in seeds])
    why = _why_not_informative(seeds, reference_gain)
    verdict = NOT_INFORMATIVE if why else _verdict(found)
    return Difference(found.mean, found.low, found.high, seeds=seeds, verdict=verdict, why=why)


def _why_not_informative(seeds: Sequence[int], reference_gain: Mapping[int, float]) -> str:
    gains = [reference_gain[seed] for seed in seeds or reference_gain]
    if gains and min(gains) < LEAST_GAIN_DB:
        return f'the reference gained {min(gains):.2f} dB over the blurred input; {LEAST_GAIN_DB:.0f} dB are needed'
    if len(seeds) < LEAST_SEEDS:
        return f'{len(seeds)} seeds in common with the reference; {LEAST_SEEDS} are needed'
    return ''


def _verdict(found: Interval) -> str:
    if found.low > 0:
        return 'better'
    return 'worse' if found.high < 0 else 'no difference seen'
