"""X4K-Spike: crops of X4K1000FPS, blurred over 33 or 65 frames, with simulated spikes."""

from __future__ import annotations

import os
from pathlib import Path

from vrtspike.datasets.io.images import image_size
from vrtspike.datasets.io.listing import IMAGE_SUFFIXES, is_hidden
from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError, DataError, require_positive
from vrtspike.registry import CLIP_SOURCES

STEPS = (33, 65)
RGB_PER_SPIKE_PIXEL = 2
LAYOUT = (
    'ROOT/{train,val}_fullRGB/<clip>/<sequence>/<frame>.png, ROOT/{train,val}_blurry_STEPS/... and '
    'ROOT/{train,val}_spike_2xds_STEPS/<clip>/<sequence>/<frame>.dat'
)


@CLIP_SOURCES.register_module()
class X4KSpike:
    """X4K-Spike: each blurred frame is the mean of 33 or 65 sharp frames, and its spikes have the same number of steps.

    A sequence's name is ``<clip>/<sequence>``. Each blurred frame is paired with the sharp frame of the same name.
    Spikes have half the height and half the width of the frames, 384 x 384 in training and 256 x 256 in validation,
    unless ``spike_size`` is given.

    Args:
        root: The folder ROOT.
        steps: 33 or 65, the version of the data.
        threshold: Firing threshold of the simulated spike camera.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames,
            of which the blurred frames are plain means.
        spike_size: (Hs, Ws) of the spikes in pixels; None takes half the size of each split's first blurred frame.
        spikes: False reads the frames alone, for networks without fusion; the folders of spikes may be absent.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``.

    Raises:
        DataError: The folders are missing.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        steps: int = 33,
        threshold: float = 1.0,
        light: str = 'encoded',
        spike_size: tuple[int, int] | None = None,
        spikes: bool = True,
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        if steps not in STEPS:
            raise ConfigError(f'X4KSpike got steps={steps!r}, expected {STEPS[0]} or {STEPS[1]}')
        require_positive('X4KSpike', threshold=threshold)
        folders.require_light('X4KSpike', light)
        if spike_size is not None:
            folders.require_pair('X4KSpike', spike_size=spike_size)
        self.root = folders.require_root(root, LAYOUT)
        self.steps, self.threshold, self.spike_size, self.spikes = steps, threshold, spike_size, spikes
        self.light, self.layout = light, SpikeLayout(bit_order, flipped, axes)

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name: every one with blurred frames or spikes."""
        kinds = [f'blurry_{self.steps}', 'fullRGB', *([f'spike_2xds_{self.steps}'] if self.spikes else [])]
        blur, sharp, *spike = (folders.require_split(self.root / f'{split}_{kind}', split, LAYOUT) for kind in kinds)
        names = {
            f'{clip.name}/{sequence.name}'
            for parent in (blur, *spike)
            for clip in folders.subfolders(parent)
            for sequence in folders.subfolders(clip)
        }
        of_spikes = {'threshold': self.threshold, 'light': self.light, 'file_steps': self.steps}
        of_spikes['layout'] = self.layout
        if self.spikes:
            of_spikes['spike_size'] = tuple(self.spike_size or half_size_of_first(blur))
        return [
            folders.sequence_in(
                name,
                blur / name,
                sharp / name,
                *(folder / name for folder in spike),
                named_by=('blur', 'spike'),  # there are more sharp frames than blurred ones
                **of_spikes,
            )
            for name in sorted(names)
        ]


def half_size_of_first(blur: Path) -> tuple[int, int]:
    """Return half the (height, width) of the first frame in a split's folder of blurred frames."""
    found = (path for path in blur.glob('*/*/*') if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.name))
    path = next(found, None)
    if path is None:
        raise DataError(f'{blur} has no frames: expected {LAYOUT}')
    try:
        height, width = image_size(path)
    except DataError as error:
        raise DataError(
            f'the size of the spikes is unknown, because {error}; or give spike_size=(height, width) to X4KSpike'
        ) from error
    return height // RGB_PER_SPIKE_PIXEL, width // RGB_PER_SPIKE_PIXEL
