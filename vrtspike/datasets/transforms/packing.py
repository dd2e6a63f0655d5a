"""From the pipeline's arrays to the sample that is collated."""

from __future__ import annotations

import numpy as np
import torch

from vrtspike.errors import ConfigError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackClip:
    """Turn the arrays of the pipeline into the tensors of a sample; :mod:`vrtspike.datasets.clips` lists both."""

    def __call__(self, results: dict) -> dict:
        """Return ``blur``, where given ``sharp``, ``spikes`` and ``meta`` alone; frames become (T, 3, H, W)."""
        if results['spikes'].dtype != np.float32:
            raise ConfigError(
                f"PackClip got raw spikes ({results['spikes'].dtype}), expected float32: put dict(type='BinSpikes') "
                'before it in the pipeline'
            )
        frames = {key: as_tensor(results[key].transpose(0, 3, 1, 2)) for key in ('blur', 'sharp') if key in results}
        return dict(**frames, spikes=as_tensor(results['spikes']), meta=results['meta'])


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """Return a contiguous tensor; flips leave arrays with negative strides, which torch does not take."""
    return torch.from_numpy(np.ascontiguousarray(array))
