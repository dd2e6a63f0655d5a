"""Turns raw spikes into the input of the network."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vrtspike.datasets.instants import represented, spikes_around
from vrtspike.errors import ConfigError, DataError, require_positive_integers
from vrtspike.registry import REPRESENTATIONS, TRANSFORMS


@TRANSFORMS.register_module()
class BinSpikes:
    """Replace raw spikes by their representation times the threshold: intensity that does not depend on the threshold.

    Off the middle of the exposure, the representation is that of a window as long as the exposure around the wanted
    instant. Steps that are not known have no spikes. Representations that are means over steps (``mean_of_steps``) are
    those over the known steps, and 0 where there are none.

    Args:
        representation: A registered representation or its config, (steps, Hs, Ws) -> (K, Hs, Ws) rates.
    """

    def __init__(self, representation: dict | Callable | None = None) -> None:
        representation = {'type': 'Voxel', 'bins': 32} if representation is None else representation
        self.representation = (
            REPRESENTATIONS.build(representation) if isinstance(representation, dict) else representation
        )

    def __call__(self, results: dict) -> dict:
        """Turn ``spikes``, where there are any, from raw ones, uint8, into (T, K, Hs, Ws) float32."""
        if 'spikes' not in results:
            return results
        binned = np.stack([represented(self.representation, around) for around in spikes_around(results)])
        binned *= np.float32(results['meta']['threshold'])
        rest = {key: value for key, value in results.items() if key not in ('margin', 'known')}
        return {**rest, 'spikes': binned}


@TRANSFORMS.register_module()
class ResizeSpikes:
    """Resize binned spikes to one size relative to the frames, so that a network meets only one.

    Networks then serve every spike camera, and clips of several train in one batch. Spikes are enlarged bilinearly, or
    averaged over areas. Put it after :class:`BinSpikes`.

    Args:
        rgb_per_spike_pixel: Side of a spike pixel in RGB pixels, afterwards.
    """

    def __init__(self, rgb_per_spike_pixel: int = 2) -> None:
        require_positive_integers('ResizeSpikes', rgb_per_spike_pixel=rgb_per_spike_pixel)
        self.rgb_per_spike_pixel = rgb_per_spike_pixel

    def __call__(self, results: dict) -> dict:
        """Resize ``spikes`` (T, K, Hs, Ws) float32 to (T, K, H / rgb_per_spike_pixel, W / rgb_per_spike_pixel)."""
        if 'spikes' not in results:
            return results
        spikes = results['spikes']
        if spikes.dtype == np.uint8:
            raise ConfigError('ResizeSpikes got raw spikes: put it after BinSpikes in the pipeline')
        size = [length // self.rgb_per_spike_pixel for length in results['blur'].shape[1:3]]
        if any(a * self.rgb_per_spike_pixel != b for a, b in zip(size, results['blur'].shape[1:3], strict=True)):
            raise DataError(
                f'frames of {results["blur"].shape[1]} x {results["blur"].shape[2]} pixels have no whole spike pixels '
                f'of {self.rgb_per_spike_pixel} x {self.rgb_per_spike_pixel}: crop frames and spikes to a multiple'
            )
        if spikes.shape[2:] == tuple(size):
            return results
        method = cv2.INTER_AREA if spikes.shape[2] > size[0] else cv2.INTER_LINEAR
        maps = [cv2.resize(each, size[::-1], interpolation=method) for each in spikes.reshape(-1, *spikes.shape[2:])]
        return {**results, 'spikes': np.stack(maps).reshape(*spikes.shape[:2], *size)}


@TRANSFORMS.register_module()
class DropSpikes:
    """Set all spikes to zero, for an ablation: what does a network gain from its spikes?

    Put it into the training and the validation pipeline, before or after :class:`BinSpikes`. Without spikes, the
    estimate of :class:`~vrtspike.datasets.transforms.sdm.AddSDM` is the blurred frame.
    """

    def __call__(self, results: dict) -> dict:
        """Return the sample with ``spikes`` of the same shape and type, all zero."""
        if 'spikes' not in results:
            return results
        dropped = {**results, 'spikes': np.zeros(results['spikes'].shape, results['spikes'].dtype)}
        return {**dropped, 'sdm': results['blur']} if 'sdm' in results else dropped


@TRANSFORMS.register_module()
class RandomThreshold:
    """Turn the spikes into those of a camera with a threshold ``factor`` times as high: fewer spikes, same light.

    Each spike adds its light to a charge, which begins at a random value; the new camera fires when the charge reaches
    the new threshold. ``meta['threshold']`` is multiplied by the factor, so that :class:`BinSpikes` afterwards keeps
    the intensity. A network trained at one threshold loses many dB at another.

    Args:
        factors: Smallest and largest factor, at least 1. Each sample draws one log-uniformly.
    """

    def __init__(self, factors: tuple[float, float] = (1.0, 4.0)) -> None:
        if len(factors) != 2 or not 1 <= factors[0] <= factors[1]:
            raise ConfigError(f'RandomThreshold got factors={factors}, expected 1 <= smallest <= largest')
        self.factors = tuple(factors)

    def __call__(self, results: dict) -> dict:
        """Thin raw ``spikes`` (T, steps, Hs, Ws) and raise ``meta['threshold']``; draws from ``results['rng']``."""
        if 'spikes' not in results:
            return results
        if results['spikes'].dtype != np.uint8:
            raise ConfigError('RandomThreshold got binned spikes: put it before BinSpikes in the pipeline')
        factor = float(np.exp(results['rng'].uniform(*np.log(self.factors))))
        spikes = np.stack([with_threshold(spikes, factor, results['rng']) for spikes in results['spikes']])
        meta = {**results['meta'], 'threshold': results['meta']['threshold'] * factor}
        return {**results, 'spikes': spikes, 'meta': meta}


def with_threshold(spikes: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Return the spikes (steps, H, W) of a camera whose threshold is ``factor`` times that of ``spikes``."""
    charge = rng.random(spikes.shape[1:], dtype=np.float32) * np.float32(factor)
    thinned = np.empty_like(spikes)
    for step, spike in enumerate(spikes):
        charge += spike
        fired = charge >= factor
        charge -= fired * np.float32(factor)
        thinned[step] = fired
    return thinned
