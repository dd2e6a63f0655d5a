"""Representations that use the times of single spikes: intervals between them, and short-term plasticity."""

from __future__ import annotations

import math

from vrtspike.datasets.representations.counts import Array, as_float, instants, namespace, require_steps
from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.registry import REPRESENTATIONS


@REPRESENTATIONS.register_module()
class TFI:
    """Texture from intervals: one over the distance between the spikes before and after each instant.

    Step s lies at s + 1/2, and a spike at the instant itself counts as before it. If the exposure has no spike on one
    side, the interval ends just outside of the exposure, at -1/2 or steps + 1/2: it is at least that long. A pixel
    without spikes has rate 0.

    Args:
        bins: K, the number of instants.
    """

    def __init__(self, bins: int = 1) -> None:
        require_positive_integers('TFI', bins=bins)
        self.bins = bins

    def __call__(self, spikes: Array) -> Array:
        """Return the rates, (steps, H, W) of 0 and 1 -> (bins, H, W) float32 in [0, 1]."""
        steps = require_steps(spikes)
        before = [math.floor(instant + 0.5) for instant in instants(steps, self.bins)]  # steps up to the instant
        last, following = nearest_spikes(spikes)
        fired = as_float(following[0] < steps)
        return namespace(spikes).stack([fired / as_float(following[count] - last[count]) for count in before])


def nearest_spikes(spikes: Array) -> tuple[list[Array], list[Array]]:
    """Return the step of the last spike before, and of the first spike at or after, each of the steps 0 to ``steps``.

    Each is (H, W) int32; -1 and ``steps`` mean that there is no spike.
    """
    xp, steps = namespace(spikes), len(spikes)
    last, following = [xp.full_like(spikes[0], -1, dtype=xp.int32)], [xp.full_like(spikes[0], steps, dtype=xp.int32)]
    for step in range(steps):
        last.append(xp.where(spikes[step] > 0, xp.full_like(last[0], step), last[-1]))
    for step in reversed(range(steps)):
        following.append(xp.where(spikes[step] > 0, xp.full_like(last[0], step), following[-1]))
    return last, following[::-1]


@REPRESENTATIONS.register_module()
class TFSTP:
    """Texture from short-term plasticity: the spike rate that explains the state of a model synapse.

    Zheng et al., *High-speed image reconstruction through short-term plasticity for spiking cameras*, CVPR 2021. Every
    pixel drives a synapse of Tsodyks and Markram. A spike releases the fraction u of the synapse's resources R. With D
    steps since the previous spike,

        R <- 1 - (1 - R (1 - u)) exp(-D / recovery),    u <- U + u (1 - U) exp(-D / facilitation).

    Spikes at a constant interval D bring R to a steady state. There, D = recovery ln((1 - R (1 - u)) / (1 - R)), and
    the rate is 1 / D. The rate is read at the last spike before each instant; before a pixel's second spike it is 0.
    The state depends on about the last ``recovery`` steps: noise averages out as in TFP, with less motion blur.

    Args:
        bins: K, the number of instants.
        utilisation: U, the fraction of the resources that the first spike releases, in (0, 1).
        recovery: Time constant of the recovery of R in steps.
        facilitation: Time constant of the decay of u in steps.
    """

    def __init__(
        self, bins: int = 1, utilisation: float = 0.15, recovery: float = 20.0, facilitation: float = 10.0
    ) -> None:
        require_positive_integers('TFSTP', bins=bins)
        self.bins = bins
        if not (0 < utilisation < 1 and recovery > 0 and facilitation > 0):
            raise ConfigError(
                f'TFSTP got {utilisation=}, {recovery=}, {facilitation=}, expected 0 < utilisation < 1 and positive '
                'time constants'
            )
        self.utilisation, self.recovery, self.facilitation = utilisation, recovery, facilitation

    def __call__(self, spikes: Array) -> Array:
        """Return the rates, (steps, H, W) of 0 and 1 -> (bins, H, W) float32 in [0, 1]."""
        steps = require_steps(spikes)
        before = [math.floor(instant + 0.5) for instant in instants(steps, self.bins)]
        rates = self.rates(spikes[: max(before)])
        return namespace(spikes).stack([rates[count] for count in before])

    def rates(self, spikes: Array) -> list[Array]:
        """Return the rate after 0 to ``steps`` steps, each (H, W)."""
        xp, zero = namespace(spikes), as_float(spikes[0]) * 0
        resources, release, interval = zero + 1, zero + self.utilisation, zero + math.inf
        rates = [zero]
        for step in spikes:
            interval = interval + 1
            left = 1 - resources * (1 - release)
            recovered = 1 - left * xp.exp(-interval / self.recovery)
            eased = self.utilisation + release * (1 - self.utilisation) * xp.exp(-interval / self.facilitation)
            fired, again = step > 0, (step > 0) & (interval < math.inf)
            rates.append(xp.where(again, self.steady_rate(recovered, eased), rates[-1]))
            resources = xp.where(fired, recovered, resources)
            release = xp.where(fired, eased, release)
            interval = xp.where(fired, zero, interval)
        return rates

    def steady_rate(self, resources: Array, release: Array) -> Array:
        """Return the rate at which the resources stay at their present value, at most one spike per step."""
        xp = namespace(resources)
        missing = 1 - resources
        missing = xp.where(missing > 1e-6, missing, xp.full_like(missing, 1e-6))
        interval = self.recovery * xp.log(1 + resources * release / missing)
        return 1 / xp.where(interval > 1, interval, xp.full_like(interval, 1))
