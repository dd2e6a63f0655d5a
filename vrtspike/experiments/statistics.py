"""Means with intervals, and what a difference in dB is worth."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import mean, stdev

from vrtspike.analysis.statistics.resampling import student_quantile

CONFIDENCE = 0.95
LEAST_SEEDS = 3
LEAST_GAIN_DB = 2.0
"""A reference that gained less over the blurred input has learnt too little to compare others with."""

NOT_INFORMATIVE = 'not informative'


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Return ``mean``, and ``low`` and ``high`` of Student's 95 % interval of it; None where one value has none."""
    if not values:
        return {'mean': None, 'low': None, 'high': None}
    centre = mean(values)
    if len(values) == 1:
        return {'mean': centre, 'low': None, 'high': None}
    half = student_quantile(len(values) - 1, CONFIDENCE) * stdev(values) / sqrt(len(values))
    return {'mean': centre, 'low': centre - half, 'high': centre + half}


def compare(psnr: dict[int, float], reference: dict[int, float], reference_gain: dict[int, float]) -> dict:
    """Return the difference in dB from the reference over the seeds that both have, and the verdict on it.

    Args:
        psnr: By seed, in dB.
        reference: The same of the reference.
        reference_gain: By seed, what the reference gained over the blurred input, in dB.

    Returns:
        ``mean``, ``low``, ``high`` (dB, paired by seed), ``seeds``, ``verdict``: 'better', 'worse', 'no difference
        seen', or 'not informative', and ``why`` where it is that.
    """
    seeds = sorted(set(psnr) & set(reference))
    found = interval([psnr[seed] - reference[seed] for seed in seeds])
    why = _why_not(seeds, reference_gain)
    return {**found, 'seeds': seeds, 'verdict': NOT_INFORMATIVE if why else _verdict(found), 'why': why}


def _why_not(seeds: Sequence[int], reference_gain: dict[int, float]) -> str:
    gains = [reference_gain[seed] for seed in seeds or reference_gain]
    if gains and min(gains) < LEAST_GAIN_DB:
        return f'the reference gained {min(gains):.2f} dB over the blurred input; {LEAST_GAIN_DB:.0f} dB are needed'
    if len(seeds) < LEAST_SEEDS:
        return f'{len(seeds)} seeds in common with the reference; {LEAST_SEEDS} are needed'
    return ''


def _verdict(found: dict[str, float]) -> str:
    if found['low'] > 0:
        return 'better'
    return 'worse' if found['high'] < 0 else 'no difference seen'
