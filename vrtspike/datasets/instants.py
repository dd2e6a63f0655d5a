"""The instant of an exposure that is restored, and the spikes around it.

An instant is a number from 0, the start of the exposure, to 1, its end; 0.5 is its middle. The spikes that belong to an
instant are a window as long as the exposure, centred on it. For instants other than the middle, the window extends
beyond the exposure. Where the files do not contain the steps outside, they are unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vrtspike.errors import ConfigError

if TYPE_CHECKING:
    from vrtspike.datasets.io.packed_spikes import PackedSpikes

MIDDLE = 0.5


class SpikesAround(NamedTuple):
    """The spikes of one exposure and of ``margin`` steps before and after it.

    Args:
        spikes: (margin + steps + margin, Hs, Ws) uint8 of 0 and 1; unknown steps have none.
        margin: Steps on either side.
        known: Which of the steps are known, bool; None for all.
        instant: The wanted instant.
    """

    spikes: np.ndarray
    margin: int = 0
    known: np.ndarray | None = None
    instant: float = MIDDLE

    @property
    def exposure(self) -> np.ndarray:
        """The steps of the exposure alone."""
        return self.spikes[self.margin : len(self.spikes) - self.margin]

    @property
    def centre(self) -> float:
        """The instant in steps from the start of ``spikes``."""
        return self.margin + self.instant * len(self.exposure)

    @property
    def window(self) -> slice:
        """The steps centred on the instant, as many as the exposure has."""
        steps = len(self.exposure)
        start = self.margin + round((self.instant - MIDDLE) * steps)  # to even, so that reversed time gives the same
        return slice(start, start + steps)


class ExposureSpikes(NamedTuple):
    """The spikes of T exposures, and of ``margin`` steps before and after each.

    Args:
        spikes: (T, margin + steps + margin, Hs, Ws) uint8 of 0 and 1, in memory or in files; unknown steps have none.
        margin: Steps on either side.
        known: Which steps are known, (T, margin + steps + margin) bool; None for all.
    """

    spikes: np.ndarray | PackedSpikes
    margin: int = 0
    known: np.ndarray | None = None

    def at(self, instant: float) -> ExposureSpikes:
        """Return the exposures with as many steps beside them as an instant needs; they must have that many."""
        if not self.margin:
            return self
        length = self.spikes.shape[1]
        margin = margin_of([instant], length - 2 * self.margin)
        kept = slice(self.margin - margin, length - self.margin + margin)
        return ExposureSpikes(self.spikes[:, kept], margin, self.known[:, kept])

    def entries(self) -> dict:
        """Return the entries of a sample, see :mod:`vrtspike.datasets.clips`."""
        return self._asdict() if self.margin else {'spikes': self.spikes}


def require_instants(owner: str, instants: Iterable[float]) -> tuple[float, ...]:
    """Return instants as a tuple of floats; raise :class:`ConfigError` unless each is from 0 to 1 and none repeats."""
    if isinstance(instants, (int, float)):
        raise ConfigError(f'{owner} got {instants=}, expected a list of numbers')
    found = tuple(float(instant) for instant in instants)
    if not found or len(set(found)) < len(found) or not all(0 <= instant <= 1 for instant in found):
        raise ConfigError(
            f'{owner} got instants={list(found)}, expected different numbers from 0, the start of the exposure, to 1'
        )
    return found


def margin_of(instants: Iterable[float], steps: int) -> int:
    """Return how many steps outside of an exposure of ``steps`` steps the windows around ``instants`` reach."""
    return max(math.ceil(abs(instant - MIDDLE) * steps) for instant in instants)


def spikes_around(sample: dict) -> Iterator[SpikesAround]:
    """Yield the spikes of each frame of a sample with raw spikes, see :mod:`vrtspike.datasets.clips`."""
    frames = len(sample['spikes'])
    instants = sample.get('instant', np.full(frames, MIDDLE)).tolist()
    known = sample.get('known', [None] * frames)
    for each in zip(sample['spikes'], known, instants, strict=True):
        yield SpikesAround(each[0], sample.get('margin', 0), *each[1:])


def represented(representation: Callable[[np.ndarray], np.ndarray], around: SpikesAround) -> np.ndarray:
    """Return the representation (K, Hs, Ws) of the window around an instant.

    Those that are means over steps (``mean_of_steps``) are means over the known ones, and 0 where there are none.
    """
    binned = representation(around.spikes[around.window])
    if around.known is None or not getattr(representation, 'mean_of_steps', False):
        return binned
    share = representation(around.known[around.window, None, None].astype(np.uint8))
    return np.divide(binned, share, out=binned, where=share > 0)


def windows_of_stream(stream: np.ndarray, first: int, frames: int, steps: int, margin: int) -> ExposureSpikes:
    """Return exposures that follow each other in a stream (steps, Hs, Ws).

    Args:
        stream: The spikes.
        first: First step of the first exposure.
        frames: Number of exposures.
        steps: Steps of an exposure.
        margin: Steps beside each exposure; those that lie outside of the stream are unknown.
    """
    starts = first + steps * np.arange(frames) - margin
    positions = starts[:, None] + np.arange(steps + 2 * margin)
    known = (positions >= 0) & (positions < len(stream))
    spikes = stream[np.clip(positions, 0, len(stream) - 1)] * known[..., None, None]
    return ExposureSpikes(spikes, margin, known)


def with_unknown_margin(spikes: np.ndarray, margin: int) -> ExposureSpikes:
    """Return exposures (T, steps, Hs, Ws) with steps beside them that are unknown."""
    beside = [(0, 0), (margin, margin), (0, 0), (0, 0)]
    known = np.pad(np.ones(spikes.shape[:2], bool), beside[:2])
    return ExposureSpikes(np.pad(spikes, beside), margin, known)
