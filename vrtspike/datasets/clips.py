"""The data set of clips, and the format of its samples and batches.

Shapes: T frames, steps per exposure of the spike camera, K temporal bins, H x W RGB pixels, Hs x Ws spike pixels.
RGB and spikes show the same field of view; H / Hs = W / Ws is one rational number.

Inside the pipeline (NumPy), from :class:`ClipDataset` to its last transform::

    blur    (T, H, W, 3) uint8       blurred frames, sRGB-encoded RGB
    sharp   (T, H, W, 3) uint8       the wanted instant of each exposure, sRGB-encoded RGB
    sdm     (T, H, W, 3) uint8       after AddSDM: what the spike-guided deblurring model makes of blur and spikes
    sdm_neighbour (T, H, W, 3) uint8 after AddNeighbourSDM: what it makes of the neighbouring blurred frame
    estimate (T, Hs, Ws, 3) uint8    after SpikesAlone: what spikes show by themselves; ``blur`` is then the same, and
                                     ``sharp`` is grey and has its size
    spikes  (T, steps, Hs, Ws) uint8 0 or 1 in time order, the exposure of each frame; at first a PackedSpikes, which
                                     reads the files when it is iterated or passed to np.asarray;
            (T, K, Hs, Ws) float32   after BinSpikes
    flow_spikes (T, steps, Hs, Ws) uint8  after BinSpikes with flow_steps: 0 or 1, so many steps around each instant
    instant (T,) float32             the wanted instants, 0 to 1 of the exposure; absent means 0.5, the middle
    margin  int                      steps beside each exposure that raw spikes also have, before and after it:
                                     (T, margin + steps + margin, Hs, Ws); absent means 0, and after BinSpikes
    known   (T, 2 margin + steps)    with margin: bool, which steps the file has; the others have no spikes
    rng     numpy Generator          the only source of random numbers, seeded by (seed, ordinal)
    meta    dict                     as below

A sample (torch) after PackClip. ``mmengine.dataset.default_collate`` adds a first axis B, and turns numbers into
tensors and strings into lists::

    blur    (T, 3, H, W) uint8
    sharp   (T, 3, H, W) uint8
    sdm     (T, 3, H, W) uint8       only with AddSDM
    sdm_neighbour (T, 3, H, W) uint8 only with AddNeighbourSDM
    estimate (T, 3, H, W) uint8      only with SpikesAlone
    spikes  (T, K, Hs, Ws) float32   spike rate per bin times the threshold: its mean over K is the TFP estimate, in
                                     [0, 1], of the light that the camera integrated
    flow_spikes (T, steps, Hs, Ws) uint8  only with flow_steps of BinSpikes
    instant (T,) float32             the wanted instants; absent means 0.5
    meta    dict                     name (of the sequence), index (of the sample), first_frame (its stem), threshold,
                                     light, and, with on_bad_sample='skip', skipped (errors of the bad samples
                                     that this one replaces, usually '')

Without spikes there are no ``sdm``, ``estimate``, ``spikes``, ``flow_spikes``, ``threshold`` and ``light``; without
sharp frames there is no ``sharp``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from vrtspike.datasets.checks import find_problems
from vrtspike.datasets.color import encode_light_uint8
from vrtspike.datasets.instants import MIDDLE, ExposureSpikes, margin_of, require_instants
from vrtspike.datasets.io.file_cache import FileCache
from vrtspike.datasets.io.images import read_images
from vrtspike.datasets.io.packed_spikes import PackedSpikes, packed_spikes
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.sources.sequence import FRAME_KINDS, SPLITS, Sequence
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES, DATASETS, TRANSFORMS

Batch = dict[str, Any]
"""A collated batch, as MMEngine's data preprocessors take it; its keys are above, and transforms may add others."""

SHOWN_PROBLEMS = 50
# Separates the random numbers that choose substitutes from those of the samples.
SUBSTITUTE_STREAM = 0xBAD
# Separates the random numbers that choose instants.
INSTANT_STREAM = 0x71
#: The value of ``instants`` for all instants that have sharp frames.
TARGETS = 'targets'


class SampleKey(NamedTuple):
    """The key of a sample: index of the clip, and the ordinal and seed of its random generator."""

    index: int
    ordinal: int
    seed: int


@DATASETS.register_module()
class ClipDataset(Dataset):
    """Clips of consecutive frames, checked when the data set is built.

    Args:
        source: A registered clip source or its config.
        split: ``'train'`` or ``'val'``.
        clip_len: T, frames of a clip.
        pipeline: Transforms, built or as configs, applied in order.
        stride: Frames from the start of one clip to the start of the next; frames at the end of a sequence that do not
            fill a clip are not used.
        limit: Use the first ``limit`` samples only; None uses all.
        on_bad_sample: ``'raise'`` ends the run at a sample that cannot be read. ``'skip'`` (only for training) replaces
            it by another one, chosen by seed and ordinal, and records the error in ``meta['skipped']``;
            :class:`~vrtspike.hooks.BadSamplesHook` counts, logs and reports these errors.
        max_bad_samples: The run ends when more samples than this were skipped.
        cache_dir: Folder on a fast local disk for copies of files from a slow disk; None reads the original files.
        cache_gib: Maximum size of ``cache_dir`` in GiB, shared by all processes of the machine.
        instants: The instants of the exposure to restore, 0 to 1, or ``'targets'`` for all of which a sequence has
            sharp frames. Each sample of ``'train'`` draws one for all its frames; ``'val'`` has every clip once for
            each, in this order. None restores the middle, 0.5.

    Raises:
        DataError: Files are missing or inconsistent; one message lists all problems.
    """

    # MMEngine passes it to metrics and visualizers, and warns if a data set has none.
    metainfo: ClassVar[dict] = {'dataset': 'clips'}

    def __init__(
        self,
        source: Any,
        split: str,
        clip_len: int = 5,
        pipeline: list[Callable | dict] | tuple = (),
        stride: int = 1,
        limit: int | None = None,
        on_bad_sample: str = 'raise',
        max_bad_samples: int = 100,
        cache_dir: str | None = None,
        cache_gib: float = 16.0,
        instants: Iterable[float] | str | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"ClipDataset got split={split!r}, expected 'train' or 'val'")
        if clip_len < 1 or stride < 1 or (limit is not None and limit < 1):
            raise ConfigError(f'ClipDataset got {clip_len=}, {stride=}, {limit=}, expected at least 1 of each')
        if on_bad_sample not in ('raise', 'skip') or max_bad_samples < 0:
            raise ConfigError(
                f"ClipDataset got {on_bad_sample=}, {max_bad_samples=}, expected 'raise' or 'skip' and at least 0"
            )
        if on_bad_sample == 'skip' and split == 'val':
            raise ConfigError("on_bad_sample='skip' is for training: validation must score every clip")
        source = CLIP_SOURCES.build(source) if isinstance(source, dict) else source
        self.split = split
        self.clip_len = clip_len
        self.stride = stride
        self.on_bad_sample = on_bad_sample
        self.max_bad_samples = max_bad_samples
        self.cache = FileCache(cache_dir, cache_gib) if cache_dir is not None else None
        self.sequences = source.sequences(split)
        raise_problems(find_problems(source, split, self.sequences, clip_len))
        self.instants = instants if instants in (None, TARGETS) else require_instants('ClipDataset', instants)
        clips = [(len(sequence.stems) - clip_len) // stride + 1 for sequence in self.sequences]
        samples = [n * self.samples_per_clip(sequence) for n, sequence in zip(clips, self.sequences, strict=True)]
        # One number per sequence, not one entry per sample: worker processes copy it.
        self.sample_ends = np.cumsum(samples)
        self.length = min(int(self.sample_ends[-1]), limit or int(self.sample_ends[-1]))
        self.pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: SampleKey | int) -> dict:
        """Return the sample of ``key``; a plain index means SampleKey(index, ordinal=index, seed=0)."""
        index, ordinal, seed = key if isinstance(key, SampleKey) else SampleKey(int(key), int(key), 0)
        if self.on_bad_sample == 'raise':
            return self.sample(SampleKey(index, ordinal, seed))
        skipped, substitutes = [], np.random.default_rng((seed, ordinal, SUBSTITUTE_STREAM))
        while True:
            try:
                return self.sample(SampleKey(index, ordinal, seed), skipped)
            except DataError as error:
                skipped.append(f'clip {index}: {error}')
                if len(skipped) > self.max_bad_samples:
                    raise DataError(too_many_bad_samples(skipped, self.max_bad_samples)) from error
            index = int(substitutes.integers(self.length))

    def sample(self, key: SampleKey, skipped: list[str] | None = None) -> dict:
        """Return clip ``key.index`` after the pipeline, with the errors of the samples it replaces."""
        sample = self.read(key.index, self.instant_of(key))
        if skipped is not None:
            sample['meta']['skipped'] = '\n'.join(skipped)
        sample['rng'] = np.random.default_rng((key.seed, key.ordinal))
        for transform in self.pipeline:
            sample = transform(sample)
        return sample

    def read(self, index: int, instant: float | None = None) -> dict:
        """Return sample ``index`` before the pipeline: blur, sharp, spikes, meta and, if given, its instant."""
        sequence, first = self.locate(index)
        positions = range(first, first + self.clip_len)
        meta = {'name': sequence.name, 'index': index, 'first_frame': sequence.stems[first].item()}
        sample = read_frames(sequence, positions, self.local, MIDDLE if instant is None else instant)
        if instant is not None:
            sample['instant'] = np.full(self.clip_len, instant, np.float32)
        if sequence.spike is not None:
            sample |= read_spikes(packed_spikes(sequence, positions, self.local), instant).entries()
            meta |= {'threshold': sequence.threshold, 'light': sequence.light}
            if 'blur' not in sample:
                spikes = packed_spikes(sequence, positions, self.local)
                sample['blur'] = playback(spikes, sequence.threshold, sequence.light)
        return {**sample, 'meta': meta}

    def local(self, path: Path) -> Path:
        """Return the path of the cached copy of a file, or its own path."""
        return path if self.cache is None else self.cache.local(path)

    def locate(self, index: int) -> tuple[Sequence, int]:
        """Return the sequence of sample ``index`` and the position of its first frame."""
        sequence, before = self.sequence_of(index)
        return sequence, before // self.samples_per_clip(sequence) * self.stride

    def sequence_of(self, index: int) -> tuple[Sequence, int]:
        """Return the sequence of sample ``index`` and how many of its samples come before."""
        if not 0 <= index < self.length:
            raise IndexError(f'clip {index} of a data set of {self.length} clips')
        number = int(np.searchsorted(self.sample_ends, index, side='right'))
        return self.sequences[number], index - (int(self.sample_ends[number - 1]) if number else 0)

    def samples_per_clip(self, sequence: Sequence) -> int:
        """Return how many samples each clip of a sequence has: one, or in validation one for each instant."""
        return 1 if self.instants is None or self.split == 'train' else len(self.instants_of(sequence))

    def instants_of(self, sequence: Sequence) -> tuple[float, ...]:
        """Return the instants at which frames of a sequence are restored."""
        return sequence.target_instants if self.instants == TARGETS else self.instants

    def instant_of(self, key: SampleKey) -> float | None:
        """Return the instant of a sample, or None if ``instants`` is."""
        if self.instants is None:
            return None
        sequence, before = self.sequence_of(key.index)
        instants = self.instants_of(sequence)
        if self.split == 'val':
            return instants[before % len(instants)]
        return instants[int(np.random.default_rng((key.seed, key.ordinal, INSTANT_STREAM)).integers(len(instants)))]


def raise_problems(problems: list[str]) -> None:
    """Raise one DataError that lists ``problems``, if there are any."""
    if not problems:
        return
    shown = [f'  - {problem}' for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        shown.append(f'  - and {len(problems) - SHOWN_PROBLEMS} more')
    raise DataError('\n'.join([f'the data set has {len(problems)} problem(s):', *shown]))


def too_many_bad_samples(skipped: list[str], limit: int) -> str:
    """Return the error message of a run with too many bad samples."""
    return (
        f'{len(skipped)} samples could not be read, more than max_bad_samples={limit}; the last one is {skipped[-1]}\n'
        'correct the data (python tools/check_data.py ROOT --thorough lists the bad files), or raise the limit'
    )


def read_spikes(spikes: PackedSpikes, instant: float | None) -> ExposureSpikes:
    """Return the spikes of exposures, and what lies beside these as far as the instant needs it."""
    margin = 0 if instant is None else margin_of([instant], spikes.shape[1])
    return spikes.with_margin(margin) if margin else ExposureSpikes(spikes)


def read_frames(
    sequence: Sequence, positions: range, local: Callable[[Path], Path] = Path, instant: float = MIDDLE
) -> dict[str, np.ndarray]:
    """Return the frames of a clip by kind, each (T, H, W, 3) uint8, all of one size; sharp ones at ``instant``."""
    stems = [sequence.stems[position].item() for position in positions]
    paths = {kind: [sequence.image_path(kind, stem) for stem in stems] for kind in sequence.frame_folders}
    if 'sharp' in paths:
        paths['sharp'] = [sequence.target_path(position, instant) for position in positions]
    frames = {kind: read_images(each, local) for kind, each in paths.items()}
    shapes = {kind: images.shape for kind, images in frames.items()}
    if len(set(shapes.values())) > 1:
        blur, sharp = (shapes[kind] for kind in FRAME_KINDS)
        raise DataError(
            f'at {stems[0]}, {sequence.sharp} has frames of {sharp[1]} x {sharp[2]} and {sequence.blur} of '
            f'{blur[1]} x {blur[2]}: both must have one size'
        )
    return frames


def playback(spikes: PackedSpikes, threshold: float, light: str) -> np.ndarray:
    """Return the exposures played back as frames, (T, Hs, Ws, 3) uint8 gray, sRGB-encoded."""
    gray = np.stack([encode_light_uint8(tfp(exposure, threshold), light) for exposure in spikes])
    return gray[..., None].repeat(3, axis=-1)
