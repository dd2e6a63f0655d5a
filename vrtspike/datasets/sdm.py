"""The spike-guided deblurring model (SDM): a sharp frame from a blurred one and its spikes, without training.

A blurred frame is the mean light of its exposure, and the spike rate over a window is the light in that window over the
threshold. In their ratio the threshold cancels (Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real
Blurry Inputs with Spike Streams*, NeurIPS 2024, arXiv 2403.09486)::

    sharp(t) = blurred * rate around t / rate over the exposure            in linear light

How far "around t" reaches is a matter of noise. A pixel fires once per threshold of light, whatever the phase it began
with, so that the count of a window is wrong by less than one spike. With a uniform phase at both ends, the variance of
a count is 1/6 spike on average. This is the noise of first-order sigma-delta modulation (Candy and Benjamin, *The
structure of quantization noise from sigma-delta modulation*, IEEE Trans. Communications 29, 1981), where a triangular
window is known to suppress it better than equal weights. Hence

- a pixel's window is triangular and reaches ``INTERVALS`` of its mean intervals between spikes to both sides: dark
  pixels get a long window, bright ones a short one;
- the rate of such a window with half-width n steps is taken to have the variance of 1/6 spike in 2n steps,
  1 / (24 n^2). Its difference from the rate over the exposure is multiplied by the fraction of the local variance that
  is not noise (Lee, *Digital image enhancement and noise filtering by use of local statistics*, IEEE PAMI 2, 1980):
  where only noise is left, the frame stays as it is.

At other instants than the middle, the windows are centred there, and steps that are not known have no weight. A window
that is cut at one side has the noise of one spike's phase there, weighted like the step at the cut.

Noise of the light itself and of the electronics is not modelled.
"""

from __future__ import annotations

import cv2
import numpy as np

from vrtspike.datasets.color import decode_srgb, encode_srgb
from vrtspike.datasets.instants import SpikesAround
from vrtspike.datasets.representations.counts import require_steps
from vrtspike.datasets.sources.sequence import LIGHTS
from vrtspike.errors import ConfigError, did_you_mean

#: Half-width of a pixel's window in mean intervals between its spikes.
INTERVALS = 1.5
#: Least half-width in steps. A spike's time is known to one step, which over fewer steps alone is an error above 2 %.
LEAST_STEPS = 8
#: Standard deviation, in spike pixels, of the Gaussian that averages rates and variances locally.
NEIGHBOURHOOD = 1.0
# Half a spike in the exposure is added to both rates, so that dark pixels keep a ratio of about one.
HALF_A_SPIKE = 0.5


def sdm(
    blur: np.ndarray, spikes: np.ndarray | SpikesAround, light: str = 'linear', exposure: np.ndarray | None = None
) -> np.ndarray:
    """Estimate the sharp frame at an instant of an exposure.

    Args:
        blur: The blurred frame (H, W, 3) uint8, sRGB-encoded.
        spikes: The spikes of its exposure (steps, Hs, Ws), 0 or 1, of the same field of view, for its middle; or
            :class:`~vrtspike.datasets.instants.SpikesAround` another instant.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames, as in
            data sets that were simulated without decoding them.
        exposure: The spikes of the exposure of ``blur`` if the instant lies outside of it, as in a neighbouring frame.

    Returns:
        The estimate (H, W, 3) uint8, sRGB-encoded. Its colours are those of the blurred frame.
    """
    if light not in LIGHTS:
        raise ConfigError(f'{light=} is unknown{did_you_mean(light, LIGHTS)}')
    ratio = cv2.resize(rate_ratio(spikes, exposure), blur.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    values = blur / np.float32(255)
    sharp = values * ratio if light == 'encoded' else encode_srgb(decode_srgb(values) * ratio)
    return np.rint(np.clip(sharp, 0, 1) * 255).astype(np.uint8)


def rate_ratio(spikes: np.ndarray | SpikesAround, exposure: np.ndarray | None = None) -> np.ndarray:
    """Return the spike rate at the instant over the mean rate of an exposure, (Hs, Ws) float32; see :func:`sdm`."""
    around = spikes if isinstance(spikes, SpikesAround) else SpikesAround(spikes)
    exposure = around.exposure if exposure is None else exposure
    steps = require_steps(exposure)
    mean = exposure.mean(axis=0, dtype=np.float32)
    width = half_widths(mean, steps)
    rate, total = rate_at_instant(around, width)
    change = rate - mean
    change *= trust(change, 1 / (24 * width**2) + cut_weight(around, width) ** 2 / (12 * total**2))
    least = np.float32(HALF_A_SPIKE / steps)
    return np.maximum(mean + change + least, 0) / (mean + least)


def half_widths(mean: np.ndarray, steps: int) -> np.ndarray:
    """Return the half-width in steps of every pixel's window, from mean rates (Hs, Ws) in spikes per step."""
    interval = 1 / np.maximum(smooth(mean), np.float32(1 / steps))
    return np.clip(INTERVALS * interval, LEAST_STEPS, 2 * steps)


def rate_at_instant(around: SpikesAround, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rate in triangular windows of the half-widths ``width``, and their sums of weights, each (Hs, Ws)."""
    total, rate = np.zeros_like(width), np.zeros_like(width)
    for step in known_steps(around):
        weight = weight_at(step + 0.5 - around.centre, width)
        total += weight
        rate += weight * around.spikes[step]
    return rate / total, total


def cut_weight(around: SpikesAround, width: np.ndarray) -> np.ndarray:
    """Return how much more weight (Hs, Ws) a window has at one end of the known steps than at the other."""
    steps = known_steps(around)
    before, after = (weight_at(end - around.centre, width) for end in (steps[0], steps[-1] + 1))
    return np.abs(before - after)


def known_steps(around: SpikesAround) -> np.ndarray:
    """Return the numbers of the steps that are known, in order."""
    return np.arange(len(around.spikes)) if around.known is None else np.flatnonzero(around.known)


def weight_at(distance: float, width: np.ndarray) -> np.ndarray:
    """Return the weights (Hs, Ws) of triangular windows at a distance in steps from their centre."""
    return np.maximum(1 - np.float32(abs(distance)) / width, 0)


def trust(change: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the fraction (Hs, Ws) of a change's local variance that its noise does not explain, 0 to 1."""
    found = np.maximum(smooth(change**2), np.finfo(np.float32).tiny)
    return np.maximum(1 - smooth(noise) / found, 0)


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the local mean of a map."""
    return cv2.GaussianBlur(values, (0, 0), NEIGHBOURHOOD, borderType=cv2.BORDER_REFLECT)
