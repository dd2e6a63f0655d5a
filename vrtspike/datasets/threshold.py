"""Estimates the threshold and the light of a sequence by comparing its frames with its spikes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from vrtspike.datasets.color import decode_srgb, luminance
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.io.packed_spikes import packed_spikes
from vrtspike.datasets.sources.sequence import Sequence

# Largest accepted factor between the declared and the estimated threshold.
TOLERANCE = 1.5
# Mean light and mean spike rate below which no estimate is made.
DARK = 0.01
# Spikes and frame are compared at this many pixels along the longer side, where the noise of the rates is small.
COMPARED_PIXELS = 16
# How many times worse than the other a light must explain the contrast of the spikes to be called wrong.
DECISIVE = 4.0
# Mismatch below which spikes and frame are equal but for noise, so that a light is not called wrong.
NOISE = 1e-3


class Suggestion(NamedTuple):
    """The threshold at which spikes and blurred frame have equal brightness, and the light with their contrast.

    Args:
        linear: The threshold if the spike camera saw linear light.
        encoded: The threshold if the spikes were simulated from sRGB values without decoding.
        rate: Spikes per pixel and step.
        light: ``'linear'`` or ``'encoded'`` if the contrast of the spikes fits only that light; None if it fits both.
    """

    linear: float
    encoded: float
    rate: float
    light: str | None


def suggest_threshold(sequence: Sequence) -> Suggestion | None:
    """Return the estimate from the middle frame; None without a blurred frame, or if it is too dark.

    Raises:
        DataError: The frame or its spikes cannot be read.
    """
    if sequence.spike is None or sequence.blur is None:
        return None
    middle = len(sequence.stems) // 2
    values = read_image(sequence.image_path('blur', sequence.stems[middle].item())) / np.float32(255)
    rates = packed_spikes(sequence, range(middle, middle + 1))[0].mean(axis=0, dtype=np.float32)
    linear, encoded = luminance(decode_srgb(values)), luminance(values)
    rate = float(rates.mean())
    if rate < DARK or linear.mean() < DARK:
        return None
    fitting = fitting_light({'linear': mismatch(linear, rates), 'encoded': mismatch(encoded, rates)})
    return Suggestion(float(linear.mean()) / rate, float(encoded.mean()) / rate, rate, fitting)


def mismatch(light: np.ndarray, rates: np.ndarray) -> float:
    """Return the share of the light's energy, 0 to 1, that no multiple of the spike rates explains.

    Args:
        light: (H, W).
        rates: (Hs, Ws), of the same field of view.
    """
    scale = min(COMPARED_PIXELS / max(rates.shape), 1)
    size = tuple(max(round(length * scale), 1) for length in rates.shape[::-1])
    seen, fired = (cv2.resize(each, size, interpolation=cv2.INTER_AREA).ravel() for each in (light, rates))
    return float(1 - (seen @ fired) ** 2 / ((seen @ seen) * (fired @ fired)))


def fitting_light(mismatches: dict[str, float]) -> str | None:
    """Return the light whose mismatch is much smaller than that of the other one; None if neither is."""
    (best, least), (_, most) = sorted(mismatches.items(), key=lambda item: item[1])
    return best if most > NOISE and most > DECISIVE * least else None


def threshold_problems(sequence: Sequence) -> list[str]:
    """Report a threshold or a light at which spikes and blurred frame differ in brightness or in contrast.

    Raises:
        DataError: The frame or its spikes cannot be read.
    """
    found = suggest_threshold(sequence)
    if found is None:
        return []
    expected, fitting = getattr(found, sequence.light), found.light or sequence.light
    if fitting == sequence.light and expected / TOLERANCE <= sequence.threshold <= expected * TOLERANCE:
        return []
    contrast = f'; their contrast is that of light: {found.light}' if found.light else ''
    return [
        f'{sequence.name}: the data are described by threshold: {sequence.threshold:g} and light: {sequence.light}, '
        f'but the spikes are as bright as the blurred frames at threshold: {found.linear:.2f} with light: linear, or '
        f'at threshold: {found.encoded:.2f} with light: encoded{contrast}. Correct the description (config.yaml, or '
        'threshold= and light= of the source)'
    ]
