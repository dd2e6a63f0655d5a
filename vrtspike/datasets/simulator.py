"""A spike camera in software: every pixel integrates light and fires."""

from __future__ import annotations

import numpy as np

from vrtspike.errors import ConfigError


class IntegrateAndFire:
    """Integrate-and-fire pixels that keep their charge from one block of steps to the next.

    Each step adds the intensity to the charge; where the charge reaches the threshold the pixel fires, once at most,
    and the threshold is subtracted. The mean rate is intensity / threshold. Charges start uniform in [0, threshold),
    since a camera runs long before the exposure begins.

    Args:
        height: Rows of the sensor.
        width: Columns of the sensor.
        threshold: Charge at which a pixel fires; at least 1, or bright pixels saturate.
        rng: Source of the initial charges.
    """

    def __init__(self, height: int, width: int, threshold: float, rng: np.random.Generator) -> None:
        if threshold <= 0:
            raise ConfigError(f'a spike camera got threshold={threshold}, expected a positive number')
        self.threshold = np.float32(threshold)
        self.charge = rng.random((height, width), dtype=np.float32) * self.threshold

    def step(self, intensity: np.ndarray) -> np.ndarray:
        """Integrate one step of linear intensity (H, W) in [0, 1]; return its spikes (H, W) uint8."""
        self.charge += intensity
        fired = self.charge >= self.threshold
        self.charge -= fired * self.threshold
        return fired.view(np.uint8)

    def run(self, intensities: np.ndarray) -> np.ndarray:
        """Integrate (steps, H, W) in time order; return the spikes (steps, H, W) uint8."""
        spikes = np.empty(intensities.shape, np.uint8)
        for step, intensity in enumerate(intensities):
            spikes[step] = self.step(intensity)
        return spikes
