"""Estimates the threshold of a sequence by comparing the brightness of its frames and spikes."""

from __future__ import annotations

from typing import NamedTuple

from vrtspike.datasets.color import decode_srgb, luminance
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.io.packed_spikes import packed_spikes
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.errors import DataError

# Largest accepted factor between the declared and the estimated threshold.
TOLERANCE = 1.5
# Mean light and mean spike rate below which no estimate is made.
DARK = 0.01


class Suggestion(NamedTuple):
    """The threshold at which spikes and blurred frame have equal brightness.

    Args:
        linear: The threshold if the spike camera saw linear light.
        encoded: The threshold if the spikes were simulated from sRGB values without decoding.
        rate: Spikes per pixel and step.
    """

    linear: float
    encoded: float
    rate: float


def suggest_threshold(sequence: Sequence) -> Suggestion | None:
    """Return the estimate from the middle frame; None without a blurred frame, or if it is too dark.

    Raises:
        DataError: The frame or its spikes cannot be read.
    """
    if sequence.spike is None or sequence.blur is None:
        return None
    middle = len(sequence.stems) // 2
    encoded = read_image(sequence.image_path('blur', sequence.stems[middle].item())) / 255
    rate = float(packed_spikes(sequence, range(middle, middle + 1))[0].mean())
    light = [float(luminance(values).mean()) for values in (decode_srgb(encoded), encoded)]
    if rate < DARK or light[0] < DARK:
        return None
    return Suggestion(light[0] / rate, light[1] / rate, rate)


def threshold_problems(sequence: Sequence) -> list[str]:
    """Report a threshold that makes spikes much brighter or darker than the blurred frame."""
    try:
        found = suggest_threshold(sequence)
    except DataError as error:
        return [str(error)]
    if found is None or found.linear / TOLERANCE <= sequence.threshold <= found.encoded * TOLERANCE:
        return []
    return [
        f'{sequence.name}: the threshold is {sequence.threshold:g}, but its spikes are as bright as its blurred frames '
        f'at {found.linear:.2f} (linear light) to {found.encoded:.2f} (sRGB values as light): correct the threshold'
    ]
