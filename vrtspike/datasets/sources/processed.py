"""Data sets with a folder for each sequence: frames alone, frames with spikes, and the demo."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

from vrtspike.datasets.simulation.demo import RGB_PER_SPIKE_PIXEL, DemoRecipe, demo_folder, write_demo
from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.registry import CLIP_SOURCES

FRAMES_LAYOUT = 'ROOT/{train,val}/<sequence>/{blur,sharp}/<frame>.png'
LAYOUT = (
    'ROOT/{train,val}/<sequence>/{blur,sharp,spike}/<frame>.{png,png,dat} with ROOT/config.yaml naming '
    'spike_h, spike_w and threshold'
)


@CLIP_SOURCES.register_module()
class RGBClips:
    """RGB alone, for networks without fusion (``model.fusion=None``).

    For GoPro itself, use ``dict(type='RGBClips', root='GOPRO_Large', val='test')``; for its gamma-corrected frames, add
    ``blur='blur_gamma'``.

    Args:
        root: The folder ROOT.
        train: Folder of the training sequences.
        val: Folder of the validation sequences.
        blur: Folder of a sequence's blurred frames.
        sharp: Folder of a sequence's sharp frames; None reads none, see configs/recipes/reblur.py.
        image_suffix: Suffix of the frames' files; None takes that of the images in each folder.

    Raises:
        DataError: ROOT or a split is missing.
    """

    layout = FRAMES_LAYOUT

    def __init__(
        self,
        root: str | os.PathLike,
        train: str = 'train',
        val: str = 'val',
        blur: str = 'blur',
        sharp: str | None = 'sharp',
        image_suffix: str | None = None,
    ) -> None:
        self.root = folders.require_root(root, self.layout)
        self.splits = {'train': train, 'val': val}
        self.blur, self.sharp, self.image_suffix = blur, sharp, image_suffix
        self.spike, self.of_spikes = None, {}

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name."""
        return [
            folders.with_instants(
                folders.sequence_in(
                    folder.name,
                    folder / self.blur,
                    None if self.sharp is None else folder / self.sharp,
                    None if self.spike is None else folder / self.spike,
                    suffix=self.image_suffix,
                    **self.of_spikes,
                )
            )
            for folder in folders.subfolders(folders.require_split(self.root / self.splits[split], split, self.layout))
        ]


@CLIP_SOURCES.register_module()
class ProcessedClips(RGBClips):
    """The processed layout: ``ROOT/{train,val}/<sequence>/{blur,sharp,spike}/<frame>.{png,png,dat}``.

    ``sharp`` may also have other instants of the exposure than its middle: ``<frame>@<instant>.png``, with the instant
    from 0 to 1, such as ``00003@0.25.png``; every frame then has the same instants.

    ``ROOT/config.yaml`` has ``spike_h``, ``spike_w`` and ``threshold``, and optionally ``steps_per_frame``,
    ``light``, see :class:`~vrtspike.datasets.sources.sequence.Sequence`, and ``interval``: the steps from the start of
    one exposure to the start of the next. With it, spikes beside an exposure are read from the files of its neighbours.

    Args:
        root: The folder ROOT.
        spike_size: (Hs, Ws) of the spikes in pixels; None takes it from ``config.yaml``.
        threshold: Firing threshold of the spike camera; None takes it from ``config.yaml``.
        light: ``'linear'`` or ``'encoded'``; None takes it from ``config.yaml``, which says so if it is not linear.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``;
            None takes them from ``config.yaml``.
        image_suffix: See :class:`RGBClips`, also for ``train``, ``val``, ``blur`` and ``sharp``.
        spikes: False reads the frames alone and needs neither spikes nor ``config.yaml``. Configs of networks without
            fusion set it.

    Raises:
        DataError: ROOT is missing, or the size or the threshold is neither given nor in ``config.yaml``.
    """

    layout = LAYOUT

    def __init__(
        self,
        root: str | os.PathLike,
        spike_size: tuple[int, int] | None = None,
        threshold: float | None = None,
        image_suffix: str | None = None,
        spikes: bool = True,
        train: str = 'train',
        val: str = 'val',
        blur: str = 'blur',
        sharp: str | None = 'sharp',
        light: str | None = None,
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        super().__init__(root, train, val, blur, sharp, image_suffix)
        if not spikes:
            return
        config = self.root / 'config.yaml'
        found = folders.read_config(config)
        if spike_size is not None:
            folders.require_pair('ProcessedClips', spike_size=spike_size)
            found['spike_h'], found['spike_w'] = spike_size
        if threshold is not None:
            found['threshold'] = threshold
        light = folders.config_light(found, config) if light is None else light
        folders.require_light('ProcessedClips', light)

        def number(key: str, kind: type) -> int | float:
            return folders.config_number(
                found, key, kind, config, 'give spike_size=(height, width) and threshold= to ProcessedClips'
            )

        self.spike = 'spike'
        self.of_spikes = {
            'spike_size': (number('spike_h', int), number('spike_w', int)),
            'threshold': number('threshold', float),
            'light': light,
            'layout': folders.config_layout(found, config, SpikeLayout(bit_order, flipped, axes)),
            'file_steps': number('steps_per_frame', int) if 'steps_per_frame' in found else None,
            'file_interval': number('interval', int) if 'interval' in found else None,
        }


@CLIP_SOURCES.register_module()
class DemoClips(ProcessedClips):
    """Simulated clips in the processed layout. They are written if they do not exist.

    In distributed training the first process writes and the others wait.

    Args:
        root: Folder of the clips. If it has demo clips with other arguments, a folder beside it is used. The other
            arguments are those of :func:`vrtspike.datasets.simulation.demo.write_demo`.
        spikes, sharp: See :class:`ProcessedClips`.
    """

    def __init__(
        self,
        root: str | os.PathLike = 'data/demo',
        *,
        seed: int = 0,
        train_clips: int = 120,
        val_clips: int = 6,
        frames: int = 5,
        size: int = 128,
        steps_per_frame: int = 64,
        threshold: float = 1.0,
        sharp_instants: tuple[float, ...] = (),
        rgb_per_spike_pixel: int = RGB_PER_SPIKE_PIXEL,
        noise: float = 0.0,
        speed: float = 1.0,
        progress: bool = True,
        spikes: bool = True,
        sharp: str | None = 'sharp',
    ) -> None:
        recipe = {'seed': seed, 'train_clips': train_clips, 'val_clips': val_clips, 'frames': frames, 'size': size}
        recipe.update(steps_per_frame=steps_per_frame, threshold=threshold, sharp_instants=tuple(sharp_instants))
        recipe.update(rgb_per_spike_pixel=rgb_per_spike_pixel, noise=noise, speed=speed)
        root = Path(root).expanduser()
        try:
            if is_main_process():
                write_demo(root, **recipe, progress=progress)
        finally:  # If this process failed, the others must not wait for it. They then report the missing demo.
            barrier()
        folder = demo_folder(root, DemoRecipe(**recipe))
        if folder != root:
            print_log(f'{root} has demo clips with other parameters: using {folder}', 'current')
        super().__init__(folder, spikes=spikes, sharp=sharp)
