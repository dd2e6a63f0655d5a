"""Writes small data sets in every supported layout, a few frames of a drifting pattern each, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from vrtspike.datasets.color import encode_light, encode_light_uint8, luminance
from vrtspike.datasets.io.images import image_size, write_image
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.spike_dat import write_spike_dat

RGB_PER_SPIKE_PIXEL = 2


class DriftingPattern:
    """A coloured pattern that drifts to the right, exposed frame by frame.

    Args:
        size: (height, width) of the frames.
        seed: Seed of the spike camera's initial charges.
        threshold: Threshold of the spike camera.
        light: ``'linear'`` exposes and integrates linear light, ``'encoded'`` the values of frames.
        ratio: RGB pixels along one side of a spike pixel.
    """

    def __init__(
        self,
        size: tuple[int, int],
        seed: int = 0,
        threshold: float = 1.0,
        light: str = 'linear',
        ratio: int = RGB_PER_SPIKE_PIXEL,
    ) -> None:
        self.kind = light
        self.rows, self.columns = np.indices(size, dtype=np.float32)
        self.ratio = ratio
        spike_size = (length // ratio for length in size)
        self.camera = IntegrateAndFire(*spike_size, threshold, np.random.default_rng(seed))
        self.time = 0.0

    def light(self, time: float) -> np.ndarray:
        """Return the light (H, W, 3) float32 at ``time`` in frames."""
        waves = [np.sin(self.columns / 3 - 2 * time + shift) * np.cos(self.rows / 4) for shift in (0, 1, 2)]
        linear = 0.4 + 0.3 * np.stack(waves, axis=-1)
        return linear if self.kind == 'linear' else encode_light(linear, 'linear')

    def expose(self, steps: int, before: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a blurred and a sharp frame (H, W, 3) uint8, and spikes, with ``before`` steps on each side."""
        instants = self.time + (np.arange(steps + 2 * before) + 0.5 - before) / steps
        lights = [self.light(instant) for instant in instants]
        each = self.ratio
        small = [luminance(light[::each, ::each] / 2 + light[1::each, 1::each] / 2) for light in lights]
        blur = np.mean(lights[before : before + steps], axis=0)
        sharp = self.light(self.time + 0.5)
        self.time += 1
        frames = (encode_light_uint8(each, self.kind) for each in (blur, sharp))
        return *frames, self.camera.run(np.stack(small))


def write_frames(
    folders: dict[str, Path],
    stems: list[str],
    size: tuple[int, int],
    steps: int,
    before: int = 0,
    seed: int = 0,
    threshold: float = 1.0,
    light: str = 'linear',
    ratio: int = RGB_PER_SPIKE_PIXEL,
    suffix: str = '.png',
) -> np.ndarray:
    """Write one video into the folders for ``'blur'`` and, if given, ``'sharp'`` and ``'spike'``; return its spikes."""
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    scene, recording = DriftingPattern(size, seed, threshold, light, ratio), []
    for stem in stems:
        blur, sharp, spikes = scene.expose(steps, before)
        for kind, image in {'blur': blur, 'sharp': sharp}.items():
            if kind in folders:
                write_image(folders[kind] / f'{stem}{suffix}', image)
        if 'spike' in folders:
            write_spike_dat(folders['spike'] / f'{stem}.dat', spikes)
        recording.append(spikes)
    return np.concatenate(recording)


def write_gopro(root: Path, layout: str = 'gopro', size: tuple[int, int] = (64, 64), frames: int = 6) -> Path:
    """Write GoPro-Spike in one of its layouts, two training clips (56 and 88 steps in a file) and a test clip."""
    for split, clips in {'train': ('GOPR0372_07_00', 'GOPR0374_11_01'), 'test': ('GOPR0384_11_00',)}.items():
        for clip in clips:
            large = root / 'GOPRO_Large'
            folders = {'blur': large / split / clip / 'blur_gamma', 'sharp': large / split / clip / 'sharp'}
            if layout == 'svrt':
                folders = {'blur': large / f'{split}_GT_blurred' / clip, 'sharp': large / f'{split}_GT' / clip}
            folders['spike'] = root / 'GOPRO_Large_spike_seq' / split / clip / 'spike'
            before = (8 * int(clip.split('_')[1]) - 56) // 2
            write_frames(folders, [f'{i:06d}' for i in range(1, frames + 1)], size, 56, before)
    return root


def write_gopro_all(root: Path, size: tuple[int, int] = (64, 64), frames: int = 6) -> Path:
    """Write all frames of GoPro's camera beside :func:`write_gopro` of the same arguments."""
    for folder in sorted((root / 'GOPRO_Large_spike_seq').glob('*/*')):
        scene, averaged = DriftingPattern(size), int(folder.name.split('_')[1])
        into = root / 'GOPRO_Large_all' / folder.relative_to(root / 'GOPRO_Large_spike_seq')
        into.mkdir(parents=True)
        for number in range(averaged * frames):
            frame, place = divmod(number, averaged)
            light = scene.light(frame + 0.5 + (place - averaged // 2) / 7)  # 56 steps, 8 each, are a frame of the scene
            write_image(into / f'{number + 1:06d}.png', encode_light_uint8(light, 'linear'))
    return root


def write_x4k(root: Path, steps: int = 33, size: tuple[int, int] = (64, 64), frames: int = 6) -> Path:
    """Write X4K-Spike, two training sequences and a validation one; sharp frames exist between the blurred ones too."""
    for split, names in {'train': ('002/occ008', '003/occ010'), 'val': ('Type1/TEST01',)}.items():
        for name in names:
            kinds = {'blur': f'blurry_{steps}', 'sharp': 'fullRGB', 'spike': f'spike_2xds_{steps}'}
            folders = {kind: root / f'{split}_{folder}' / name for kind, folder in kinds.items()}
            write_frames(folders, [f'{i * steps:04d}' for i in range(frames)], size, steps, light='encoded')
            write_image(folders['sharp'] / '9999.png', np.zeros((*size, 3), np.uint8))
    return root


def write_lmdb(folder: Path) -> Path:
    """Pack ``<folder>/<sequence>/<frame>.png`` into ``<folder>.lmdb`` as KAIR's and BasicSR's scripts do."""
    import lmdb

    target = folder.with_suffix('.lmdb')
    lines = []
    with lmdb.open(str(target), map_size=2**24) as database, database.begin(write=True) as transaction:
        for path in sorted(folder.glob('*/*.png')):
            name = path.relative_to(folder)
            height, width = image_size(path)
            transaction.put(name.with_suffix('').as_posix().encode(), path.read_bytes())
            lines.append(f'{name.as_posix()} ({height},{width},3) 1\n')
    (target / 'meta_info.txt').write_text(''.join(lines), encoding='utf-8')
    return target


def write_rgb(root: Path, size: tuple[int, int] = (64, 64), frames: int = 6) -> Path:
    """Write RGB clips without spikes, one of each split."""
    for split in ('train', 'val'):
        folders = {kind: root / split / f'{split}_video' / kind for kind in ('blur', 'sharp')}
        write_frames(folders, [f'{i:05d}' for i in range(frames)], size, 8)
    return root


def write_recordings(root: Path, size: tuple[int, int] = (64, 64), frames: int = 6, steps: int = 40) -> Path:
    """Write two SpikeCV recordings, ``one`` and ``two``, with frames beside them."""
    for name in ('one', 'two'):
        folders = {kind: root / name / kind for kind in ('blur', 'sharp')}
        spikes = write_frames(folders, [f'{i:05d}' for i in range(frames)], size, steps)
        write_spike_dat(root / name / 'spikes.dat', spikes)
    height, width = (length // RGB_PER_SPIKE_PIXEL for length in size)
    config = {'filename': 'one', 'spike_w': width, 'spike_h': height, 'is_labeled': False}
    (root / 'config.yaml').write_text(yaml.safe_dump(config), encoding='utf-8')
    return root


def write_spikezoo(root: Path, size: tuple[int, int] = (32, 32), streams: int = 2, steps: int = 81) -> Path:
    """Write Spike-Zoo's base layout: streams of sRGB values as light with the grey frame of their middle step."""
    waves = np.add.outer(np.arange(size[0]) / 3, np.arange(size[1]) / 4)
    for seed, split in enumerate(('train', 'test')):
        camera = IntegrateAndFire(*size, 1 / 0.6, np.random.default_rng(seed))
        for number in range(seed * streams, (seed + 1) * streams):
            values = [0.5 + 0.4 * np.sin(waves + number + step / steps) for step in range(steps)]
            folders = {kind: root / split / kind for kind in ('spike', 'gt')}
            for folder in folders.values():
                folder.mkdir(parents=True, exist_ok=True)
            write_spike_dat(folders['spike'] / f'{number:03d}_part1.dat', camera.run(np.stack(values)))
            middle = np.rint(values[steps // 2] * 255).astype(np.uint8)
            write_image(folders['gt'] / f'{number:03d}_part1.png', middle[..., None].repeat(3, axis=-1))
    return root


def write_ssdm(
    root: Path,
    kinds: tuple[str, ...] = ('blur', 'sharp', 'spike'),
    suffix: str = '.png',
    light: str = 'encoded',
    size: tuple[int, int] = (64, 64),
    frames: int = 6,
) -> Path:
    """Write S-SDM's layout, one clip of each split.

    Its real set has the kinds ``'blur'`` and ``'spike'``, JPEGs and linear light.
    """
    for split, clip in {'train': 'GOPR0372_07_00', 'test': 'GOPR0384_11_00'}.items():
        folders = {kind: root / split / f'{kind}_data' / clip for kind in kinds}
        stems = [f'{i:06d}' for i in range(7, 7 * frames + 1, 7)]
        write_frames(folders, stems, size, 97, 20, light=light, ratio=4, suffix=suffix)
    return root
