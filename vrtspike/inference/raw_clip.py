"""Frames of a clip and their spikes as they are read, before the transforms of a data set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vrtspike.datasets.instants import ExposureSpikes


class RawClip(NamedTuple):
    """Consecutive frames of a clip.

    Args:
        blur: The blurred frames (T, H, W, 3) uint8.
        name: Name of the clip.
        first_frame: Name of the first frame.
        spikes: Their spikes; None if the clip has none.
        threshold: Firing threshold of the spikes.
        light: What the spike camera integrated, ``'linear'`` light or ``'encoded'`` values.
        instant: The wanted instant of each exposure, 0 to 1; None gives none.
    """

    blur: np.ndarray
    name: str
    first_frame: str
    spikes: ExposureSpikes | None = None
    threshold: float | None = None
    light: str = 'linear'
    instant: float | None = None

    def at(self, instant: float) -> RawClip:
        """Return the clip at an instant; its spikes must have as many steps beside the exposures as that needs."""
        return self._replace(instant=instant, spikes=self.spikes and self.spikes.at(instant))

    def sample(self) -> dict:
        """Return what transforms take, see :mod:`vrtspike.datasets.clips`."""
        meta = {'name': self.name, 'index': 0, 'first_frame': self.first_frame}
        sample = {'blur': self.blur, 'meta': meta, 'rng': np.random.default_rng(0)}
        if self.instant is not None:
            sample['instant'] = np.full(len(self.blur), self.instant, np.float32)
        if self.spikes is not None:
            meta |= {'threshold': self.threshold, 'light': self.light}
            sample |= self.spikes.entries()
        return sample
