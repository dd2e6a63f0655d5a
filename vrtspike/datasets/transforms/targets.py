"""Targets for clips without sharp frames."""

from __future__ import annotations

import numpy as np

from vrtspike.datasets.instants import ExposureSpikes, margin_of, with_unknown_margin
from vrtspike.datasets.io.packed_spikes import PackedSpikes
from vrtspike.datasets.sources.sequence import FRAME_KINDS
from vrtspike.datasets.transforms.sdm import AddSDM
from vrtspike.errors import ConfigError, DataError, require_positive_integers
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SDMTargets:
    """Repeat a clip at several instants of its exposures; targets are sharp frames, or else the estimate of SDM.

    It is for :class:`~vrtspike.models.losses.reblur.ReblurLoss`, which needs an exposure at several instants at once.
    The instants are the centres of equal parts of the exposure. The clip of T frames becomes one of ``instants`` times
    T: all frames at the first instant, then all at the second. :class:`~vrtspike.models.preprocessor.SpikePreprocessor`
    makes them clips of T frames again. Put it after the crop and before
    :class:`~vrtspike.datasets.transforms.spikes.BinSpikes`; it adds ``sdm`` too.

    Args:
        instants: M, their number; odd, so that the middle of the exposure, which sharp frames show, is one of them.
    """

    def __init__(self, instants: int = 5) -> None:
        require_positive_integers('SDMTargets', instants=instants)
        if instants % 2 == 0:
            raise ConfigError(f'SDMTargets got instants={instants}, expected an odd number')
        self.instants = instants

    def __call__(self, results: dict) -> dict:
        """Repeat a sample with raw spikes M times; ``meta`` gets ``instants``, M, and ``supervised`` (M T,) bool."""
        spikes = results.get('spikes')
        if spikes is None or spikes.dtype != np.uint8:
            raise DataError('SDMTargets got no raw spikes: use data with spikes, and put it before BinSpikes')
        if 'instant' in results:
            raise ConfigError("SDMTargets chooses the instants itself: leave out the data set's instants")
        if 'sdm_neighbour' in results:
            raise ConfigError('SDMTargets does not go with AddNeighbourSDM: leave that transform out')
        frames, count = len(results['blur']), self.instants
        instants = (np.arange(count) + 0.5) / count
        given = {kind: results[kind] for kind in FRAME_KINDS if kind in results}
        around = with_margin(spikes, margin_of(instants, spikes.shape[1]))
        given |= {'spikes': around.spikes, 'known': around.known}
        repeated = {key: np.concatenate([np.asarray(value)] * count) for key, value in given.items()}
        repeated |= {'margin': around.margin, 'instant': instants.repeat(frames).astype(np.float32)}
        sample = AddSDM()({**results, **repeated})
        supervised = np.zeros((count, frames), bool)
        supervised[count // 2] = 'sharp' in results
        supervised = supervised.ravel()
        sharp = np.where(supervised[:, None, None, None], sample.get('sharp', sample['sdm']), sample['sdm'])
        return {**sample, 'sharp': sharp, 'meta': {**results['meta'], 'instants': count, 'supervised': supervised}}


def with_margin(spikes: PackedSpikes | np.ndarray, margin: int) -> ExposureSpikes:
    """Return spikes with what their files have beside the exposures; arrays have nothing there."""
    return spikes.with_margin(margin) if isinstance(spikes, PackedSpikes) else with_unknown_margin(spikes, margin)
