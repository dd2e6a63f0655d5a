"""A spike representation: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

import numpy as np

from vrtspike.registry import REPRESENTATIONS


@REPRESENTATIONS.register_module()
class NewRepresentation:
    """Count the spikes of every pixel in the two halves of an exposure: (steps, H, W) -> (2, H, W)."""

    def __call__(self, spikes: np.ndarray) -> np.ndarray:
        """Return counts (2, H, W) float32 of ``spikes`` (steps, H, W) of 0 and 1."""
        halves = np.array_split(spikes, 2)
        return np.stack([half.sum(axis=0, dtype=np.float32) for half in halves])
