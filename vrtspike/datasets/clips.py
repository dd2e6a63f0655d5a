"""Clips of blurred frames, sharp frames and spikes: what a sample and a batch hold, and the data set that reads them.

T frames, steps of the spike camera in one exposure, K temporal bins, H x W pixels of RGB, Hs x Ws pixels of spikes.
RGB and spikes show the same field of view; H / Hs = W / Ws is a whole number.

Inside the pipeline (NumPy), from :class:`ClipDataset` to its last transform::

    blur    (T, H, W, 3) uint8       blurred frames, sRGB-encoded RGB
    sharp   (T, H, W, 3) uint8       the middle instant of each exposure, sRGB-encoded RGB
    spikes  (T, steps, Hs, Ws) uint8 0 or 1 in time order, the exposure of each frame;
            (T, K, Hs, Ws) float32   after BinSpikes
    rng     numpy Generator          the only source of randomness, seeded by (seed, ordinal)
    meta    dict                     as below

A sample (torch), as PackClip leaves it; ``mmengine.dataset.default_collate`` puts B in front turns numbers into
tensors and strings into lists::

    blur    (T, 3, H, W) uint8
    sharp   (T, 3, H, W) uint8
    spikes  (T, K, Hs, Ws) float32   spike rate per bin times the threshold: its mean over K is the TFP estimate of
                                     linear intensity in [0, 1]
    meta    dict                     name (of the sequence), index (of the sample), first_frame (its stem), threshold
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np
from torch.utils.data import Dataset

from vrtspike.datasets.checks import find_problems
from vrtspike.datasets.sequence import Sequence
from vrtspike.datasets.spike_dat import read_spike_dat
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES, DATASETS, TRANSFORMS

SHOWN_PROBLEMS = 50


class SampleKey(NamedTuple):
    """Which sample to make: its clip, and the ordinal and seed that decide its randomness."""

    index: int
    ordinal: int
    seed: int


@DATASETS.register_module()
class ClipDataset(Dataset):
    """Clips of consecutive frames, checked when the data set is built.

    Args:
        source: Where the sequences lie: a registered clip source or its config.
        split: ``'train'`` or ``'val'``.
        clip_len: T, frames of a clip.
        pipeline: Transforms, built or as configs, applied in turn.
        stride: Frames from the start of one clip to the start of the next; frames at the end of a sequence that fill
            no clip are left out.
        limit: Use the first ``limit`` clips only; None uses all.

    Raises:
        DataError: Anything is missing or does not fit, all of it listed in one message.
    """

    # MMEngine hands it to metrics and visualizers, and warns where a data set has none.
    metainfo: ClassVar[dict] = {'dataset': 'clips'}

    def __init__(
        self,
        source: Any,
        split: str,
        clip_len: int = 5,
        pipeline: list[Callable | dict] | tuple = (),
        stride: int = 1,
        limit: int | None = None,
    ) -> None:
        if split not in ('train', 'val'):
            raise ConfigError(f"ClipDataset got split={split!r}, expected 'train' or 'val'")
        if clip_len < 1 or stride < 1 or (limit is not None and limit < 1):
            raise ConfigError(f'ClipDataset got {clip_len=}, {stride=}, {limit=}, expected at least 1 of each')
        source = CLIP_SOURCES.build(source) if isinstance(source, dict) else source
        self.split = split
        self.clip_len = clip_len
        self.stride = stride
        self.sequences = source.sequences(split)
        raise_problems(find_problems(source, split, self.sequences, clip_len))
        clips = [(len(sequence.stems) - clip_len) // stride + 1 for sequence in self.sequences]
        # One number per sequence, not one entry per clip: a worker process copies next to nothing.
        self.clip_ends = np.cumsum(clips)
        self.length = min(int(self.clip_ends[-1]), limit or int(self.clip_ends[-1]))
        self.pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: SampleKey | int) -> dict:
        """Return the sample of ``key``; a plain index stands for SampleKey(index, ordinal=index, seed=0)."""
        index, ordinal, seed = key if isinstance(key, SampleKey) else SampleKey(int(key), int(key), 0)
        sample = self.read(index)
        sample['rng'] = np.random.default_rng((seed, ordinal))
        for transform in self.pipeline:
            sample = transform(sample)
        return sample

    def read(self, index: int) -> dict:
        """Return clip ``index`` as it lies on disk: blur, sharp, spikes and meta of the pipeline."""
        sequence, first = self.locate(index)
        stems = sequence.stems[first : first + self.clip_len].tolist()
        blur = read_images([sequence.image_path('blur', stem) for stem in stems])
        sharp = read_images([sequence.image_path('sharp', stem) for stem in stems])
        if blur.shape != sharp.shape:
            raise DataError(
                f'{sequence.sharp} holds frames of {sharp.shape[1]} x {sharp.shape[2]}, {sequence.blur} of '
                f'{blur.shape[1]} x {blur.shape[2]} at {stems[0]}: both must have one size'
            )
        meta = {'name': sequence.name, 'index': index, 'first_frame': stems[0], 'threshold': sequence.threshold}
        return {'blur': blur, 'sharp': sharp, 'spikes': read_spikes(sequence, stems), 'meta': meta}

    def locate(self, index: int) -> tuple[Sequence, int]:
        """Return the sequence of clip ``index`` and the position of its first frame."""
        if not 0 <= index < self.length:
            raise IndexError(f'clip {index} of a data set of {self.length} clips')
        place = int(np.searchsorted(self.clip_ends, index, side='right'))
        before = int(self.clip_ends[place - 1]) if place else 0
        return self.sequences[place], (index - before) * self.stride


def raise_problems(problems: list[str]) -> None:
    """Raise one DataError that lists ``problems``, if there are any."""
    if not problems:
        return
    shown = [f'  - {problem}' for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        shown.append(f'  - and {len(problems) - SHOWN_PROBLEMS} more')
    raise DataError('\n'.join([f'the data set has {len(problems)} problem(s):', *shown]))


def read_images(paths: list[Path]) -> np.ndarray:
    """Return images of one size as (T, H, W, 3) uint8 RGB."""
    images = [read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f'{path} has {image.shape[0]} x {image.shape[1]} pixels, {paths[0].name} beside it '
                f'{images[0].shape[0]} x {images[0].shape[1]}: the frames of a sequence must have one size'
            )
    return np.stack(images)


def read_image(path: Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if image is None:
        raise DataError(f'{path} is missing or damaged, expected an 8-bit RGB image: write it again')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_spikes(sequence: Sequence, stems: list[str]) -> np.ndarray:
    """Return the spikes of the frames' exposures, (T, steps, Hs, Ws) uint8."""
    height, width = sequence.spike_size
    window = {'start': sequence.start, 'steps': sequence.steps}
    return np.stack([read_spike_dat(sequence.spike_path(stem), height, width, **window) for stem in stems])
