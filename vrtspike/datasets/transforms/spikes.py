"""Turns raw spikes into the input of the network."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vrtspike.datasets.instants import SpikesAround, represented, spikes_around
from vrtspike.datasets.sources.sequence import SPIKE_ARRAYS
from vrtspike.errors import ConfigError, DataError, require_positive_integers
from vrtspike.registry import REPRESENTATIONS, TRANSFORMS


@TRANSFORMS.register_module()
class BinSpikes:
    """Replace raw spikes by their representation times the threshold: intensity that does not depend on the threshold.

    For instants other than the middle of the exposure, the representation is that of a window that is as long as the
    exposure and centred on the instant. Steps that are not known have no spikes. Representations that are means over
    steps (``mean_of_steps``) are those over the known steps, and 0 where there are none.

    Args:
        representation: A registered representation or its config, (steps, Hs, Ws) -> (K, Hs, Ws) rates.
        flow_steps: Also keep this many raw steps around each instant as ``flow_spikes``, for a network with
            ``flow='spikes'``: 25. The default 0 keeps none.
    """

    def __init__(self, representation: dict | Callable | None = None, flow_steps: int = 0) -> None:
        representation = {'type': 'Voxel', 'bins': 32} if representation is None else representation
        self.representation = (
            REPRESENTATIONS.build(representation) if isinstance(representation, dict) else representation
        )
        self.flow_steps = flow_steps

    def __call__(self, results: dict) -> dict:
        """Turn ``spikes``, where there are any, from raw ones, uint8, into (T, K, Hs, Ws) float32."""
        if 'spikes' not in results:
            return results
        binned, windows = [], []
        for around in spikes_around(results):
            binned.append(represented(self.representation, around))
            if self.flow_steps:
                windows.append(steps_around(around, self.flow_steps))
        binned = np.stack(binned)
        binned *= np.float32(results['meta']['threshold'])
        rest = {key: value for key, value in results.items() if key not in ('margin', 'known')}
        if self.flow_steps:
            rest['flow_spikes'] = np.stack(windows)
        return {**rest, 'spikes': binned}


def steps_around(around: SpikesAround, count: int) -> np.ndarray:
    """Return the ``count`` raw steps around an instant (count, Hs, Ws)."""
    window = around.spikes[around.window]
    if len(window) < count:
        raise ConfigError(f'BinSpikes got flow_steps={count}, but an exposure has {len(window)} steps')
    start = (len(window) - count) // 2
    return window[start : start + count]


@TRANSFORMS.register_module()
class ResizeSpikes:
    """Resize binned spikes to one size relative to the frames, so that the network sees only one size.

    One network then works with every spike camera, and one batch can mix clips from several cameras. Spikes are
    enlarged bilinearly, or averaged over areas. Put it after :class:`BinSpikes`.

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
        if 'flow_spikes' in results:
            raise ConfigError('ResizeSpikes cannot resize the raw steps of flow: leave it out, or set flow_steps=0')
        size = [length // self.rgb_per_spike_pixel for length in results['blur'].shape[1:3]]
        if any(a * self.rgb_per_spike_pixel != b for a, b in zip(size, results['blur'].shape[1:3], strict=True)):
            raise DataError(
                f'frames of {results["blur"].shape[1]} x {results["blur"].shape[2]} pixels have no whole spike pixels '
                f'of {self.rgb_per_spike_pixel} x {self.rgb_per_spike_pixel}: crop the frames to a multiple of '
                f'{self.rgb_per_spike_pixel} pixels, and the spikes to the same field of view'
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
    estimate of :class:`~vrtspike.datasets.transforms.sdm.AddSDM` is the blurred frame. An estimate from a neighbouring
    frame that was already added cannot be changed, so put this transform before
    :class:`~vrtspike.datasets.transforms.sdm.AddNeighbourSDM`.
    """

    def __call__(self, results: dict) -> dict:
        """Return the sample with spikes of the same shape and type, all zero."""
        if 'spikes' not in results:
            return results
        if 'sdm_neighbour' in results:
            raise ConfigError('DropSpikes got sdm_neighbour: put it before AddNeighbourSDM in the pipeline')
        arrays = {kind: results[kind] for kind in SPIKE_ARRAYS if kind in results}
        dropped = {**results, **{kind: np.zeros(array.shape, array.dtype) for kind, array in arrays.items()}}
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
