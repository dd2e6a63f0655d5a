"""Reads whole held-out sequences of a config, one window of frames at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate

from vrtspike.datasets import BinSpikes, ClipDataset, RandomThreshold, ReadArtefact
from vrtspike.datasets.clips import Batch
from vrtspike.datasets.representations.intensity import TFI
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import ConfigError
from vrtspike.metrics import playback_frames, to_uint8_frames


class Window(NamedTuple):
    """Consecutive frames of a sequence.

    Args:
        batch: One clip, collated as by the data loader.
        raw: The spikes before binning (T, steps, Hs, Ws), cropped like the frames; None if there are none.
    """

    batch: Batch
    raw: np.ndarray | None

    def frames(self, kind: str) -> np.ndarray:
        """Return the ``'blur'`` or ``'sharp'`` frames, (T, H, W, 3) uint8."""
        return to_uint8_frames(self.batch[kind][0])

    def playbacks(self) -> dict[str, np.ndarray]:
        """Return the reconstructions that need no network, by name.

        ``tfp`` and ``tfi`` (T, H, W) uint8 are what spikes alone show, over the exposure and in its middle. ``sdm``
        (T, H, W, 3) uint8 is the estimate of :func:`vrtspike.datasets.sdm.sdm`; clips of spikes alone have none.
        """
        if self.raw is None:
            return {}
        size = tuple(self.batch['blur'].shape[-2:])
        threshold, light = (self.batch['meta'][key][0] for key in ('threshold', 'light'))
        rates = np.stack([TFI()(spikes) for spikes in self.raw])
        alone = {
            'tfp': playback_frames(self.batch['spikes'][0], size, light),
            'tfi': playback_frames(torch.from_numpy(rates * np.float32(threshold)), size, light),
        }
        if 'estimate' in self.batch:
            return alone
        estimates = [sdm(*each, light) for each in zip(self.frames('blur'), self.raw, strict=True)]
        return {**alone, 'sdm': np.stack(estimates)}


class Sequences(ClipDataset):
    """The sequences of a :class:`ClipDataset`; any window of frames can be read.

    Args:
        threshold_factor: Convert the spikes to those of a camera with a threshold this many times higher.
        settings: Arguments of ClipDataset.
    """

    def __init__(self, threshold_factor: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        if threshold_factor != 1:
            self.pipeline.insert(0, RandomThreshold((threshold_factor, threshold_factor)))
        self.window_start: int | None = None
        count = len(self.sequences) if not settings.get('limit') else self.sequence_of_clip(self.length - 1) + 1
        self.sequences = self.sequences[:count]

    def without_target(self) -> str | None:
        """Return the name of the first sequence without sharp frames; None if all have them."""
        return next((sequence.name for sequence in self.sequences if sequence.sharp is None), None)

    def sequence_of_clip(self, index: int) -> int:
        """Return the index of the sequence of clip ``index``."""
        return int(np.searchsorted(self.sample_ends, index, side='right'))

    def locate(self, index: int):
        """Return sequence ``index`` and the first frame of the window that is being read."""
        return self.sequences[index], self.window_start

    def window(self, number: int, start: int, stop: int) -> Window:
        """Return frames ``start`` to ``stop`` of a sequence after the transforms of the config."""
        self.window_start, self.clip_len, raw = start, stop - start, None
        sample = self.read(number)
        sample['rng'] = np.random.default_rng((0, number, start))
        for transform in self.pipeline:
            if isinstance(transform, (BinSpikes, ReadArtefact)) and 'spikes' in sample:
                raw = np.asarray(sample['spikes'])
            sample = transform(sample)
        return Window(default_collate([sample]), raw)


def held_out_sequences(config: Config, threshold_factor: float = 1.0) -> Sequences:
    """Return the sequences of a config's ``test_dataloader``, or of its ``val_dataloader`` if it has none."""
    loader = config.get('test_dataloader') or config.get('val_dataloader')
    node = dict((loader or {}).get('dataset') or {})
    node.pop('instants', None)  # scored in the middle of the exposure
    if node.pop('type', None) != 'ClipDataset':
        raise ConfigError('the config names no ClipDataset in test_dataloader or val_dataloader to test on')
    return Sequences(threshold_factor, **node)
