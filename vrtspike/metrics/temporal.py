"""Temporal consistency of a restored video: how well it follows the motion, and how much still regions flicker."""

from __future__ import annotations

import numpy as np

from vrtspike.datasets.simulation.light_stream import flows_between, warped

#: A pixel is visible in both frames if the flow there and back ends within this many pixels of where it began.
VISIBLE = 1.0
#: A region is still where no channel of the target changes by more than this, in 8-bit levels.
STILL = 2


class TemporalConsistency:
    """Scores consecutive frames of one video, which are added in order; two frames are in memory.

    - ``warping_error``: mean squared difference, with values in [0, 1], between a restored frame and the next one moved
      back along the optical flow, where both show the same point (Lai et al., *Learning blind video temporal
      consistency*, ECCV 2018). The flow is that of the targets (DIS), so that a restored frame cannot choose its own.
    - ``flicker``: mean absolute change from a restored frame to the next, in 8-bit levels, where the targets are still.
    """

    def __init__(self) -> None:
        self.previous: tuple[np.ndarray, np.ndarray] | None = None
        self.values: dict[str, list[float]] = {'warping_error': [], 'flicker': []}

    def add(self, restored: np.ndarray, sharp: np.ndarray) -> None:
        """Add the next restored frame and its target, (H, W, 3) uint8."""
        if self.previous is not None:
            before, sharp_before = self.previous
            change = np.abs(restored.astype(np.int16) - before)
            still = (np.abs(sharp.astype(np.int16) - sharp_before) <= STILL).all(axis=-1)
            self.collect('flicker', change[still])
            forward, backward = flows_between(sharp_before, sharp)
            visible = np.hypot(*np.moveaxis(forward + warped(backward, forward), -1, 0)) < VISIBLE
            difference = (warped(restored, forward).astype(np.float32) - before) / 255
            self.collect('warping_error', difference[visible] ** 2)
        self.previous = restored, sharp

    def collect(self, name: str, differences: np.ndarray) -> None:
        """Keep the mean of a pair of frames, unless no pixel counts."""
        if differences.size:
            self.values[name].append(float(differences.mean()))

    def scores(self) -> dict[str, float]:
        """Return the means over all pairs, without scores for which no pixel of any pair counted."""
        return {name: float(np.mean(values)) for name, values in self.values.items() if values}
