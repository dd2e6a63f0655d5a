"""Restores clips of any length: raw frames and spikes in, 8-bit frames out.

Shapes: T frames, ``steps`` spike-camera steps per exposure, H x W pixels of RGB, Hs x Ws pixels of spikes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import print_log
from torch import Tensor, nn

from vrtspike.datasets.clips import Batch
from vrtspike.datasets.instants import margin_of, require_instants, with_unknown_margin
from vrtspike.datasets.transforms import BinSpikes, PackClip, PairedCenterCrop, PairedRandomCrop
from vrtspike.errors import ConfigError, DataError
from vrtspike.inference.loading import load_restorer
from vrtspike.inference.raw_clip import RawClip
from vrtspike.inference.shipped import shipped_network
from vrtspike.inference.tile_memory import largest_tile
from vrtspike.metrics import to_uint8_frames
from vrtspike.models.result_cache import cached_results
from vrtspike.models.tiling import Tiling, stream_clip
from vrtspike.registry import TRANSFORMS

#: Default overlap of neighbouring tiles in frames, for tiles of more than one frame.
FRAME_OVERLAP = 2
#: Default overlap of neighbouring tiles in pixels.
PIXEL_OVERLAP = 32
Read = Callable[[int, int], Batch]
"""Takes (start, stop) and returns these frames as a batch of one clip."""
Prepare = Callable[[RawClip], Batch]
"""Represents a clip as in validation and returns a batch of it."""


@torch.inference_mode()
def restore(
    frames: np.ndarray,
    spikes: np.ndarray | None,
    checkpoint: str | os.PathLike | None = None,
    *,
    config: str | os.PathLike | None = None,
    threshold: float = 1.0,
    light: str = 'linear',
    tiling: Tiling | None = None,
    instants: Sequence[float] | None = None,
    plugins: tuple[str, ...] = (),
    device: torch.device | str | None = None,
) -> np.ndarray:
    """Restore a clip in one call.

    Args:
        frames: Blurred frames (T, H, W, 3) uint8, sRGB-encoded RGB.
        spikes: The spikes of each frame's exposure (T, steps, Hs, Ws), 0 or 1; the same field of view as the frames.
            None for networks that use no spikes.
        checkpoint: A checkpoint of our training, which contains the config of its network, or published weights. None
            uses the network that ships with the package, which needs spikes, and logs its name and score.
        config: A config file to use instead of the one in the checkpoint; published weights need one.
        threshold: Firing threshold of the spike camera, in units of full linear intensity times one step.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames.
        tiling: How the clip is divided into tiles; None uses tiles as long as the training clips and as large as the
            frames.
        instants: Instants of each exposure to restore, from 0, its start, to 1. None restores its middle. Spikes beside
            the exposures are unknown here; :func:`vrtspike.inference.files.restore_files` reads those that files have.
        plugins: Plugins that register parts of the network.
        device: None uses a GPU if there is one.

    Returns:
        The restored frames (T, H, W, 3) uint8, or with ``instants`` (T, instants, H, W, 3).

    Raises:
        DataError: Frames and spikes do not match.
        CheckpointError: The checkpoint cannot be used.
        ConfigError: There is a config without a checkpoint.
    """
    check_clip(frames, spikes)
    if checkpoint is None:
        if config is not None:
            raise ConfigError(f'config={os.fspath(config)!r} needs the checkpoint of its network (checkpoint=)')
        checkpoint, card = shipped_network()
        print_log(card.summary(), 'current')
    elif config is not None:
        from vrtspike.config import load_config

        config = load_config(config, plugins=list(plugins))
    model, config = load_restorer(checkpoint, config, plugins=plugins, device=device)
    require_spikes(model, spikes is not None)
    prepare = input_pipeline(config)

    def read(start: int, stop: int, margin: int = 0) -> RawClip:
        around = None if spikes is None else with_unknown_margin(spikes[start:stop], margin)
        return RawClip(frames[start:stop], 'clip', str(start), around, threshold, light)

    tiling, length = tiling or tiling_of(config), len(frames)
    if instants is None:
        parts = restored_frames(model, lambda *span: prepare(read(*span)), length, tiling)
    else:
        instants = require_instants('restore', instants)
        margin = 0 if spikes is None else margin_of(instants, spikes.shape[1])
        clip = ClipAtInstants(lambda *span: read(*span, margin), prepare, length, instants)
        parts = restored_instants(model, clip, tiling)
    return np.concatenate(list(parts))


def require_spikes(model: nn.Module, given: bool) -> None:
    """Raise :class:`DataError` if a network needs spikes and there are none."""
    if (model.uses_spikes or model.restores_grey) and not given:
        raise DataError('this network needs spikes, and the clip has none: give them, with --spike or spikes=')


def check_clip(frames: np.ndarray, spikes: np.ndarray | None) -> None:
    """Raise :class:`DataError` if frames and spikes do not match."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise DataError(f'frames are {frames.dtype} {frames.shape}, expected uint8 (T, H, W, 3) in RGB order')
    if spikes is None:
        return
    if spikes.ndim != 4 or len(spikes) != len(frames) or not spikes.shape[1]:
        raise DataError(
            f'spikes have the shape {spikes.shape}, expected ({len(frames)}, steps, Hs, Ws), one exposure per frame'
        )
    if spikes.dtype not in (np.uint8, bool) or spikes.max(initial=0) > 1:
        raise DataError(f'spikes are {spikes.dtype} up to {spikes.max()}, expected 0 and 1 as uint8')
    check_sizes(frames.shape[1:3], spikes.shape[2:])


def check_sizes(rgb: tuple[int, int], spike: tuple[int, int]) -> None:
    """Raise :class:`DataError` if sizes (height, width) of frames and spikes cannot show the same field of view."""
    ratios = [a / b for a, b in zip(rgb, spike, strict=True)]
    if abs(ratios[0] / ratios[1] - 1) > 0.02:
        raise DataError(
            f'frames of {rgb[0]} x {rgb[1]} pixels and spikes of {spike[0]} x {spike[1]} do not show the same field of '
            'view, since their aspect ratios differ: check the spike size (height, width), crop the frames, or '
            'drop the header of a sensor with 416 columns (restore.py --keep-columns 400)'
        )


def tiling_of(
    config: Config,
    *,
    tile: tuple[int, int] | None = None,
    overlap: tuple[int, int] | None = None,
    frames: int | None = None,
    frame_overlap: int | None = None,
    **changes: Any,
) -> Tiling:
    """Return the ``model.tiling`` of a config, with changes.

    If the config does not tile in time, tiles are as long as the clips that it validates on.

    Args:
        config: A resolved config.
        tile: Height and width of a tile in pixels.
        overlap: Minimum overlap of tiles, vertical and horizontal; 32 pixels by default if ``tile`` is given.
        frames: Frames of a tile.
        frame_overlap: Minimum overlap of tiles in frames; 2 by default if ``frames`` is given, or as many as fit.
        changes: Other arguments of :class:`~vrtspike.models.tiling.Tiling`.
    """
    settings = dict(config.model.get('tiling') or {})
    (old_frames, *old_tile), (old_shared, *old_overlap) = (settings.get(key, (0, 0, 0)) for key in ('tile', 'overlap'))
    new_frames = (old_frames or clip_length(config)) if frames is None else frames
    if frame_overlap is None:
        unchanged = old_frames and frames is None
        frame_overlap = old_shared if unchanged else min(FRAME_OVERLAP, max(new_frames - 1, 0))
    if overlap is None:
        overlap = old_overlap if tile is None else (PIXEL_OVERLAP, PIXEL_OVERLAP)
    settings['tile'] = (new_frames, *(old_tile if tile is None else tile))
    settings['overlap'] = (frame_overlap, *overlap)
    return Tiling(**{**settings, **changes})


def validation_dataset(config: Config) -> dict:
    """Return the settings of the data set that a config validates on, or else trains on."""
    return (config.get('val_dataloader') or config.get('train_dataloader') or {}).get('dataset') or {}


def clip_length(config: Config) -> int:
    """Return the number of frames of a config's validation clips; 0 if the config does not set it."""
    return validation_dataset(config).get('clip_len', 0)


def input_pipeline(config: Config) -> Prepare:
    """Return a function that turns a raw clip into a batch of one clip, as in validation.

    It applies the config's validation transforms except crops, so that spikes are represented as in training.
    """
    pipeline = validation_dataset(config).get('pipeline') or [{'type': 'BinSpikes'}]
    built = [TRANSFORMS.build(step) for step in pipeline]
    steps = [step for step in built if not isinstance(step, (PairedCenterCrop, PairedRandomCrop, PackClip))]
    represented = any(isinstance(step, BinSpikes) for step in steps)

    def prepare(clip: RawClip) -> Batch:
        if clip.spikes is not None and not represented:
            raise ConfigError(
                'the validation pipeline of the config has no BinSpikes, so the representation of its spikes is unknown'
            )
        sample = clip.sample()
        for step in steps:
            sample = step(sample)
        return default_collate([PackClip()(sample)])

    return prepare


@torch.inference_mode()
def restored_frames(
    model: nn.Module, read: Read, length: int, tiling: Tiling, first: int = 0, instant: float | None = None
) -> Iterator[np.ndarray]:
    """Yield a clip's restored frames (t, H, W, 3) uint8 in time order, as they are finished.

    Args:
        model: A restorer with its data preprocessor.
        read: Returns a batch; called once for every tile in time, in order.
        length: T, the frames of the clip.
        tiling: How the clip is divided into tiles.
        first: The first frame to restore.
        instant: The instant given to the network; None gives none.

    Raises:
        ConfigError: The network does not restore every frame.
    """
    model.check_task(length, channels=3 * len(getattr(model.data_preprocessor, 'inputs', ('blur',))))
    size: tuple[int, int] = (0, 0)

    def prepared(start: int, stop: int) -> tuple[Tensor, Tensor | None]:
        nonlocal size
        inputs = model.data_preprocessor(read(start, stop))
        size = inputs['size']
        return inputs['blur'], inputs.get('spikes')

    scale, divisor = model.backbone.scale, getattr(model.data_preprocessor, 'divisor', 1)
    told = None if instant is None else torch.full((1, length), instant, device=next(model.parameters()).device)
    for part in stream_clip(
        model.restore, prepared, length, tiling, first=first, scale=scale, divisor=divisor, instant=told
    ):
        yield to_uint8_frames(part[0, ..., : size[0] * scale, : size[1] * scale])


@dataclass(frozen=True)
class ClipAtInstants:
    """A clip to restore at several instants of every exposure.

    Args:
        read: Takes (start, stop) and returns these frames, with spikes beside the exposures as far as the instants need
            them.
        prepare: From :func:`input_pipeline`.
        length: T, the frames of the clip.
        instants: The instants, 0 to 1.
    """

    read: Callable[[int, int], RawClip]
    prepare: Prepare
    length: int
    instants: tuple[float, ...]


def restored_instants(model: nn.Module, clip: ClipAtInstants, tiling: Tiling, first: int = 0) -> Iterator[np.ndarray]:
    """Yield a clip's restored frames (t, instants, H, W, 3) uint8 in time order, as they are finished.

    All instants of a tile in time are restored before the next tile is read. Its files are read once. What the network
    computes from the blurred frames alone is computed once, see :mod:`vrtspike.models.result_cache`.
    """
    read_last: dict[tuple[int, int], RawClip] = {}
    with cached_results(model) as clear_cache:

        def read_at(instant: float) -> Read:
            def read(*span: int) -> Batch:
                if span not in read_last:
                    read_last.clear()
                    clear_cache()
                    read_last[span] = clip.read(*span)
                return clip.prepare(read_last[span].at(instant))

            return read

        streams = [restored_frames(model, read_at(each), clip.length, tiling, first, each) for each in clip.instants]
        for parts in zip(*streams, strict=True):
            yield np.stack(parts, axis=1)


@torch.inference_mode()
def fit_tiling(model: nn.Module, read: Read, tiling: Tiling, length: int) -> Tiling:
    """Return ``tiling`` with the largest tile in space that fits into the free memory."""
    frames = min(tiling.tile[0] or length, length)
    inputs = model.data_preprocessor(read(0, frames))
    divisor = getattr(model.data_preprocessor, 'divisor', 1)
    overlap = tiling.overlap[1] or PIXEL_OVERLAP
    return largest_tile(model.restore, inputs['blur'], inputs.get('spikes'), tiling, overlap=overlap, divisor=divisor)
