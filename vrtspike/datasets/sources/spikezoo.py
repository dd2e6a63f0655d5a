"""Spike-Zoo's training data: short spike streams, each with the grey frame of its middle step."""

from __future__ import annotations

import os

import numpy as np

from vrtspike.datasets.io.listing import IMAGE_SUFFIXES, common_suffix
from vrtspike.datasets.io.spike_formats import SPIKE_SUFFIXES, count_steps
from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import DataError, require_positive, require_positive_integers
from vrtspike.registry import CLIP_SOURCES

LAYOUT = 'ROOT/{train,test}/spike/<name>.dat and ROOT/{train,test}/gt/<name>.png'


@CLIP_SOURCES.register_module()
class SpikeZooBase:
    """The layout of `Spike-Zoo <https://github.com/chenkang455/Spike-Zoo>`_: ``{train,test}/{spike,gt}/<name>``.

    Every stream is a sequence of one frame, so ``clip_len`` is 1: neighbouring files show different scenes. The target
    is the grey frame of the middle step; the blurred frame is the TFP of the exposure. ``'val'`` is the test split.

    Args:
        root: The folder ROOT.
        spike_size: (Hs, Ws) of the spikes in pixels.
        steps: Steps of the exposure around the middle step; None takes the whole stream.
        threshold: Firing threshold. The published streams have 0.6 spikes a step at full white.
        light: What the camera integrated, see :class:`~vrtspike.datasets.sources.sequence.Sequence`. The published
            streams were simulated from sRGB values.
        targets: False reads the spikes alone; the folder ``gt`` may be absent.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``.

    Raises:
        DataError: The folders are missing, or a split has no spike files.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        spike_size: tuple[int, int] = (250, 400),
        steps: int | None = 41,
        threshold: float = 1 / 0.6,
        light: str = 'encoded',
        targets: bool = True,
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        folders.require_pair('SpikeZooBase', spike_size=spike_size)
        require_positive('SpikeZooBase', threshold=threshold)
        folders.require_light('SpikeZooBase', light)
        if steps is not None:
            require_positive_integers('SpikeZooBase', steps=steps)
        self.root = folders.require_root(root, LAYOUT)
        self.spike_size, self.steps, self.targets = tuple(spike_size), steps, targets
        self.threshold, self.light, self.layout = threshold, light, SpikeLayout(bit_order, flipped, axes)

    def sequences(self, split: str) -> list[Sequence]:
        """Return the streams of ``'train'`` or ``'val'``, in the order of the numbers in their names."""
        kinds = ('spike', 'gt') if self.targets else ('spike',)
        spike, *sharp = (
            folders.require_split(self.root / folders.ON_DISK[split] / kind, split, LAYOUT) for kind in kinds
        )
        spike_suffix = common_suffix(spike, SPIKE_SUFFIXES)
        if spike_suffix is None:
            raise DataError(f'{spike} has no spike files: expected {LAYOUT}')
        suffixes = {'spike_suffix': spike_suffix}
        if sharp:
            suffixes['sharp_suffix'] = common_suffix(sharp[0], IMAGE_SUFFIXES) or '.png'
        first = folders.all_stems([(spike, spike_suffix)])[0]
        file_steps = count_steps(spike / f'{first}{spike_suffix}', *self.spike_size, self.layout)
        return [
            Sequence(
                name=stem,
                blur=None,
                sharp=sharp[0] if sharp else None,
                spike=spike,
                stems=np.array([stem]),
                spike_size=self.spike_size,
                threshold=self.threshold,
                light=self.light,
                layout=self.layout,
                start=0 if self.steps is None else (file_steps - self.steps) // 2,
                steps=self.steps,
                file_steps=file_steps,
                **suffixes,
            )
            for stem in folders.all_stems(zip((spike, *sharp), suffixes.values(), strict=True)).tolist()
        ]
