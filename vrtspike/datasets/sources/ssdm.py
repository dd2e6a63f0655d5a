"""The data of S-SDM (arXiv 2403.09486): blurred frames with spikes of their exposure and of some time around it."""

from __future__ import annotations

import os

from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError, require_positive, require_positive_integers
from vrtspike.registry import CLIP_SOURCES


@CLIP_SOURCES.register_module()
class SSDMGoPro:
    """S-SDM's GoPro: ``{train,test}/{blur,sharp,spike}_data/<clip>/<frame>.{png,png,dat}``.

    Frames have 1280 x 720 pixels and spikes a quarter of that per side. A blurred frame is the mean of 97 frames of an
    interpolated video; its spike file has 20 steps more on each side. ``'val'`` is the test split.

    Args:
        root: The folder with the splits.
        train: Folder of the training split; ``'.'`` is the root itself.
        val: Folder of the validation split.
        spike_size: (Hs, Ws) of the spikes in pixels; 180 x 320 by default.
        threshold: Firing threshold of the spike camera.
        light: What the camera integrated, see :class:`~vrtspike.datasets.sources.sequence.Sequence`. ``'encoded'`` by
            default.
        exposure_steps: Steps of the exposure in the middle of each file.
        steps_outside: Steps of each file before the exposure, and after it.
        spikes: False reads the frames alone, for networks without fusion; ``spike_data`` may be absent.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``.

    Raises:
        DataError: The folders are missing.
    """

    layout = 'ROOT/{train,test}/{blur_data,sharp_data,spike_data}/<clip>/<frame>.{png,png,dat}'
    has_sharp = True
    default_spike_size = 180, 320
    default_light = 'encoded'

    def __init__(
        self,
        root: str | os.PathLike,
        train: str = folders.ON_DISK['train'],
        val: str = folders.ON_DISK['val'],
        spike_size: tuple[int, int] | None = None,
        threshold: float = 1.0,
        light: str | None = None,
        exposure_steps: int = 97,
        steps_outside: int = 20,
        spikes: bool = True,
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        name = type(self).__name__
        spike_size = self.default_spike_size if spike_size is None else spike_size
        light = self.default_light if light is None else light
        folders.require_pair(name, spike_size=spike_size)
        require_positive(name, threshold=threshold)
        folders.require_light(name, light)
        require_positive_integers(name, exposure_steps=exposure_steps)
        if not isinstance(steps_outside, int) or steps_outside < 0:
            raise ConfigError(f'{name} got {steps_outside=}, expected 0 or more steps')
        self.root = folders.require_root(root, self.layout)
        self.splits = {'train': train, 'val': val}
        self.spikes = spikes
        self.of_spikes = {
            'spike_size': tuple(spike_size),
            'threshold': threshold,
            'light': light,
            'start': steps_outside,
            'steps': exposure_steps,
            'file_steps': exposure_steps + 2 * steps_outside,
            'layout': SpikeLayout(bit_order, flipped, axes),
        }

    def sequences(self, split: str) -> list[Sequence]:
        """Return the clips of ``'train'`` or ``'val'``, sorted by name: every one with blurred frames or spikes."""
        kinds = ['blur', *(['sharp'] if self.has_sharp else []), *(['spike'] if self.spikes else [])]
        parent = self.root / self.splits[split]
        kept_in = {kind: folders.require_split(parent / f'{kind}_data', split, self.layout) for kind in kinds}
        named_by = [kind for kind in kinds if kind != 'sharp']  # a sequence of sharp frames may belong to a blurred one
        names = {clip.name for kind in named_by for clip in folders.subfolders(kept_in[kind])}
        return [
            folders.sequence_in(
                name,
                *(kept_in[kind] / name if kind in kept_in else None for kind in ('blur', 'sharp', 'spike')),
                named_by=named_by,
                **self.of_spikes,
            )
            for name in sorted(names)
        ]


@CLIP_SOURCES.register_module()
class SSDMReal(SSDMGoPro):
    """S-SDM's real recordings (RSB): ``blur_data`` of 1600 x 1000 pixels and ``spike_data``, without sharp frames.

    They can be restored, viewed and scored without targets. The frames are JPEGs.

    Args:
        root: The folder with the splits.
        train: Folder of the training split; ``'.'`` is the root itself, where there are no splits.
        val: Folder of the validation split.
        spike_size: 250 x 400 by default; see :class:`SSDMGoPro`, also for the other arguments.
        light: ``'linear'`` by default.
    """

    layout = 'ROOT/{train,test}/{blur_data,spike_data}/<clip>/<frame>.{jpg,dat}'
    has_sharp = False
    default_spike_size = 250, 400
    default_light = 'linear'
