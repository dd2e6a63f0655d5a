"""What a network sees of the spikes of one exposure."""

from __future__ import annotations

import numpy as np

from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import REPRESENTATIONS


@REPRESENTATIONS.register_module()
class Voxel:
    """Spike rate in ``bins`` equal, disjoint bins over the exposure.

    A step that a bin boundary cuts is shared between the two bins by overlap: no bin is empty, and the counts of the
    bins sum to the number of spikes.

    Args:
        bins: K, the number of bins.
    """

    def __init__(self, bins: int = 32) -> None:
        if bins < 1:
            raise ConfigError(f'Voxel got bins={bins}, expected at least 1')
        self.bins = bins

    def __call__(self, spikes: np.ndarray) -> np.ndarray:
        """Return the rate in spikes per step, (steps, H, W) of 0 and 1 -> (bins, H, W) float32 in [0, 1]."""
        steps = require_steps(spikes)
        counts = np.zeros((steps + 1, *spikes.shape[1:]), np.int32)
        np.cumsum(spikes, axis=0, out=counts[1:])
        # Bin boundaries in whole steps and the remaining fraction, in integers so that they are exact.
        whole, part = np.divmod(np.arange(self.bins + 1) * steps, self.bins)
        below = counts[whole]
        cut = counts[np.minimum(whole + 1, steps)] - below
        fraction = (part / self.bins).astype(np.float32)[:, None, None]
        return np.diff(below + fraction * cut, axis=0).astype(np.float32) * np.float32(self.bins / steps)


def tfp(spikes: np.ndarray, threshold: float) -> np.ndarray:
    """Play spikes back (texture from playback): their mean over the window times the threshold.

    Args:
        spikes: (..., steps, H, W) of 0 and 1.
        threshold: Light a pixel integrates before it fires, in units of full intensity times one step.

    Returns:
        Linear intensity (..., H, W), float32.
    """
    require_steps(spikes)
    return spikes.mean(axis=-3, dtype=np.float32) * np.float32(threshold)


def require_steps(spikes: np.ndarray) -> int:
    """Return the number of steps of (..., steps, H, W), at least one."""
    if spikes.ndim < 3 or spikes.shape[-3] == 0:
        raise DataError(f'spikes have the shape {spikes.shape}, expected (..., steps, H, W) with at least one step')
    return spikes.shape[-3]
