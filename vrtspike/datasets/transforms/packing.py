"""Turns the pipeline's arrays into a sample that can be collated."""

from __future__ import annotations

import numpy as np
import torch

from vrtspike.datasets.sources.sequence import SAMPLE_FRAMES
from vrtspike.errors import ConfigError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackClip:
    """Turn the arrays of the pipeline into the tensors of a sample; :mod:`vrtspike.datasets.clips` lists both."""

    def __call__(self, results: dict) -> dict:
        """Return ``meta``, and frames (T, 3, H, W), ``spikes``, ``flow_spikes`` and ``instant`` where they exist."""
        packed = {kind: as_tensor(results[kind].transpose(0, 3, 1, 2)) for kind in SAMPLE_FRAMES if kind in results}
        if 'spikes' in results:
            packed['spikes'] = as_tensor(require_binned(results['spikes']))
        packed |= {key: as_tensor(results[key]) for key in ('flow_spikes', 'instant') if key in results}
        return {**packed, 'meta': results['meta']}


def require_binned(spikes: np.ndarray) -> np.ndarray:
    """Return ``spikes``; raise ConfigError if they are raw, because the pipeline has no representation."""
    if spikes.dtype != np.float32:
        raise ConfigError(
            f"PackClip got raw spikes ({spikes.dtype}), expected float32: put dict(type='BinSpikes') before it in the "
            'pipeline'
        )
    return spikes


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """Return a tensor of a contiguous copy: torch refuses the negative strides that flips leave."""
    return torch.from_numpy(np.ascontiguousarray(array))
