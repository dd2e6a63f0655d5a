"""From raw spikes to what the network sees of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vrtspike.errors import ConfigError
from vrtspike.registry import REPRESENTATIONS, TRANSFORMS


@TRANSFORMS.register_module()
class BinSpikes:
    """Replace the raw spikes by their representation times the threshold, so that intensity does not depend on it.

    Args:
        representation: A registered representation or its config, (steps, Hs, Ws) -> (K, Hs, Ws) rates.
    """

    def __init__(self, representation: dict | Callable | None = None) -> None:
        representation = {'type': 'Voxel', 'bins': 32} if representation is None else representation
        self.representation = (
            REPRESENTATIONS.build(representation) if isinstance(representation, dict) else representation
        )

    def __call__(self, results: dict) -> dict:
        """Turn ``spikes``, where there are any, from (T, steps, Hs, Ws) uint8 into (T, K, Hs, Ws) float32."""
        if 'spikes' not in results:
            return results
        binned = np.stack([self.representation(spikes) for spikes in results['spikes']])
        binned *= np.float32(results['meta']['threshold'])
        return {**results, 'spikes': binned}


@TRANSFORMS.register_module()
class DropSpikes:
    """Set all spikes to zero: the ablation that shows what a network gains from its spike input.

    It belongs into the training and the validation pipeline both, before or after :class:`BinSpikes`.
    """

    def __call__(self, results: dict) -> dict:
        """Return the sample with ``spikes`` of the same shape and type, all zero."""
        if 'spikes' not in results:
            return results
        return {**results, 'spikes': np.zeros(results['spikes'].shape, results['spikes'].dtype)}


@TRANSFORMS.register_module()
class RandomThreshold:
    """Make the spikes those of a camera with a higher threshold, and say so in the sample's meta.

    Every spike is one threshold's worth of light. A camera whose threshold is ``factor`` times as high fires when that
    much has come together, from a random charge on: it sees the same light in fewer spikes. The sample's threshold
    grows by the factor, so that :class:`BinSpikes`, which comes after, keeps the intensity. Networks that saw one
    threshold only lose many dB at another.

    Args:
        factors: Least and greatest factor, at least 1; drawn log-uniformly for each sample.
    """

    def __init__(self, factors: tuple[float, float] = (1.0, 4.0)) -> None:
        if len(factors) != 2 or not 1 <= factors[0] <= factors[1]:
            raise ConfigError(f'RandomThreshold got factors={factors}, expected 1 <= least <= greatest')
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
    """Return what a camera of ``factor`` times the threshold fires at the light of ``spikes`` (steps, H, W)."""
    charge = rng.random(spikes.shape[1:], dtype=np.float32) * np.float32(factor)
    thinned = np.empty_like(spikes)
    for step, spike in enumerate(spikes):
        charge += spike
        fired = charge >= factor
        charge -= fired * np.float32(factor)
        thinned[step] = fired
    return thinned
