"""A spike camera in software: every pixel integrates light and fires."""

from __future__ import annotations

import numpy as np

from vrtspike.errors import ConfigError, did_you_mean, require_positive

RESETS = ('subtract', 'zero', 'modulo')


class IntegrateAndFire:
    """Integrate-and-fire pixels; their charges persist between calls.

    Each step adds the intensity to the charge. A pixel whose charge reaches the threshold fires once and is reset. With
    ``'subtract'`` and ``'modulo'`` the mean rate is intensity / threshold. Initial charges are uniform in
    [0, threshold), because a camera has been running long before the exposure begins.

    Args:
        height: Rows of the sensor.
        width: Columns of the sensor.
        threshold: Charge at which a pixel fires; at least 1, or bright pixels saturate.
        rng: Source of the initial charges and of the noise.
        reset: The charge after a spike: ``'subtract'`` subtracts one threshold, ``'modulo'`` keeps the remainder after
            whole thresholds, ``'zero'`` keeps nothing, which lowers the rates.
        noise: Probability of a false spike per pixel and step without a true spike; it does not change the charge.
        dead_time: Steps after a spike in which a pixel neither integrates nor fires.
    """

    def __init__(
        self,
        height: int,
        width: int,
        threshold: float,
        rng: np.random.Generator,
        reset: str = 'subtract',
        noise: float = 0.0,
        dead_time: int = 0,
    ) -> None:
        require_positive('a spike camera', threshold=threshold)
        if reset not in RESETS:
            raise ConfigError(f'a spike camera got reset={reset!r}{did_you_mean(reset, RESETS)}')
        if not 0 <= noise < 1 or dead_time < 0:
            raise ConfigError(f'a spike camera got {noise=}, {dead_time=}, expected 0 <= noise < 1 and 0 steps or more')
        self.threshold = np.float32(threshold)
        self.reset, self.noise, self.dead_time = reset, noise, dead_time
        self.rng = rng
        self.charge = rng.random((height, width), dtype=np.float32) * self.threshold
        # Steps until each pixel may fire again.
        self.waiting = np.zeros((height, width), np.int32) if dead_time else None

    def step(self, intensity: np.ndarray) -> np.ndarray:
        """Integrate one step of linear intensity (H, W) in [0, 1]; return its spikes (H, W) uint8."""
        if self.waiting is not None:
            intensity = np.where(self.waiting > 0, np.float32(0), intensity)
        self.charge += intensity
        fired = self.charge >= self.threshold
        if self.waiting is not None:
            fired &= self.waiting == 0
            self.waiting = np.where(fired, self.dead_time, np.maximum(self.waiting - 1, 0))
        self.discharge(fired)
        if self.noise:
            fired |= self.rng.random(fired.shape, dtype=np.float32) < self.noise
        return fired.view(np.uint8)

    def discharge(self, fired: np.ndarray) -> None:
        """Reset the charge of the pixels that fired."""
        if self.reset == 'subtract':
            self.charge -= fired * self.threshold
        elif self.reset == 'zero':
            self.charge[fired] = 0
        else:
            self.charge[fired] %= self.threshold

    def run(self, intensities: np.ndarray) -> np.ndarray:
        """Integrate (steps, H, W) in time order; return the spikes (steps, H, W) uint8."""
        spikes = np.empty(intensities.shape, np.uint8)
        for step, intensity in enumerate(intensities):
            spikes[step] = self.step(intensity)
        return spikes
