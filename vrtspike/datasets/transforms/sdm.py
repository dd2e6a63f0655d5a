"""Adds the sharp frames that blurred frames and spikes determine without a network."""

from __future__ import annotations

import numpy as np

from vrtspike.datasets.instants import MIDDLE, spikes_around
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
        results = with_decoded_spikes(results, type(self).__name__)
        light = results['meta']['light']
        estimates = [sdm(*each, light) for each in zip(results['blur'], spikes_around(results), strict=True)]
        return {**results, 'sdm': np.stack(estimates)}


@TRANSFORMS.register_module()
class AddNeighbourSDM:
    """Add ``sdm_neighbour``, a second SDM estimate of the same instant, computed from a neighbouring blurred frame.

    Towards the ends of an exposure, its own blurred frame shows the scene at that instant less and less, and the
    neighbouring frame shows it more and more. The neighbour is the previous frame for instants before the middle, and
    the next one for those after it. In the middle, and where a clip has no neighbour, the estimate is the frame's own.
    Put it after :class:`AddSDM`.
    """

    def __call__(self, results: dict) -> dict:
        """Add ``sdm_neighbour`` (T, H, W, 3) uint8 to a sample with raw spikes; leave others as they are."""
        if 'spikes' not in results:
            return results
        if 'sdm' not in results or 'instants' in results['meta']:
            raise ConfigError('AddNeighbourSDM: put it after AddSDM in the pipeline; it does not go with SDMTargets')
        results = with_decoded_spikes(results, type(self).__name__)
        clip, light = list(spikes_around(results)), results['meta']['light']
        estimates = results['sdm'].copy()
        for position, around in enumerate(clip):
            neighbour = position + int(np.sign(around.instant - MIDDLE))
            if neighbour != position and 0 <= neighbour < len(clip):
                estimates[position] = sdm(results['blur'][neighbour], around, light, clip[neighbour].exposure)
        return {**results, 'sdm_neighbour': estimates}


def with_decoded_spikes(results: dict, transform: str) -> dict:
    """Return a sample whose raw spikes are an array; raise :class:`ConfigError` if they are binned already."""
    if results['spikes'].dtype != np.uint8:
        raise ConfigError(f'{transform} got binned spikes: put it before BinSpikes in the pipeline')
    return {**results, 'spikes': np.asarray(results['spikes'])}
