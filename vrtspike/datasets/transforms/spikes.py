"""From raw spikes to what the network sees of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

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
        """Turn ``spikes`` from (T, steps, Hs, Ws) uint8 into (T, K, Hs, Ws) float32."""
        binned = np.stack([self.representation(spikes) for spikes in results['spikes']])
        return {**results, 'spikes': binned * np.float32(results['meta']['threshold'])}


@TRANSFORMS.register_module()
class DropSpikes:
    """Set all spikes to zero: the ablation that shows what a network gains from its spike input.

    It belongs into the training and the validation pipeline both, before or after :class:`BinSpikes`.
    """

    def __call__(self, results: dict) -> dict:
        """Return the sample with ``spikes`` of the same shape and type, all zero."""
        return {**results, 'spikes': np.zeros_like(results['spikes'])}
