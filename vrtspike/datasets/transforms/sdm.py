"""Adds the sharp frames that blurred frames and spikes determine without a network."""

from __future__ import annotations

import numpy as np

from vrtspike.datasets.instants import spikes_around
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import ConfigError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class AddSDM:
    """Add ``sdm``, the estimate of the spike-guided deblurring model (:mod:`vrtspike.datasets.sdm`), to a sample.

    Validation then scores it as ``sdm/psnr``, and a restorer with ``start='sdm'`` corrects it. Put it before
    :class:`~vrtspike.datasets.transforms.spikes.BinSpikes`; after a crop it costs least.
    """

    def __call__(self, results: dict) -> dict:
        """Add ``sdm`` (T, H, W, 3) uint8 to a sample with raw spikes; leave others as they are."""
        if 'spikes' not in results:
            return results
        if results['spikes'].dtype != np.uint8:
            raise ConfigError('AddSDM got binned spikes: put it before BinSpikes in the pipeline')
        results = {**results, 'spikes': np.asarray(results['spikes'])}
        light = results['meta']['light']
        estimates = [sdm(*each, light) for each in zip(results['blur'], spikes_around(results), strict=True)]
        return {**results, 'sdm': np.stack(estimates)}
