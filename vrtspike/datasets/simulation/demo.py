"""Demo clips: a small data set of simulated spikes and motion blur, in the layout that real data sets have."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from vrtspike.datasets.color import encode_srgb_uint8, luminance
from vrtspike.datasets.instants import MIDDLE, require_instants
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.photographs import TRAIN_PHOTOGRAPHS, VAL_PHOTOGRAPHS
from vrtspike.datasets.simulation.scenes import Scene, random_scene
from vrtspike.datasets.sources.folders import read_config
from vrtspike.datasets.spike_dat import bytes_per_step, write_spike_dat
from vrtspike.errors import ConfigError, DataError, require_positive
from vrtspike.runtime.progress import step_progress

# Increase it when a change alters the clips of a recipe. Demos of older versions then count as another recipe.
GENERATOR_VERSION = 1
RGB_PER_SPIKE_PIXEL = 2
# Parameters that older versions did not have, with the values those worked with.
NEWER = {'sharp_instants': (), 'rgb_per_spike_pixel': RGB_PER_SPIKE_PIXEL, 'noise': 0.0, 'speed': 1.0}
PHOTOGRAPHS = {'train': TRAIN_PHOTOGRAPHS, 'val': VAL_PHOTOGRAPHS}
# Mean speed of a layer, in image sides per exposure. Training covers a wider range than validation.
SPEEDS = {'train': (0.02, 0.1), 'val': (0.035, 0.07)}
LEAST = {'seed': 0, 'train_clips': 0, 'val_clips': 0, 'frames': 1, 'size': 16, 'steps_per_frame': 1, 'threshold': 1.0}
LEAST |= {'rgb_per_spike_pixel': 1, 'noise': 0.0}


@dataclass(frozen=True)
class DemoRecipe:
    """Parameters of the demo clips; equal recipes give identical files.

    Args:
        seed: Seed of every random choice.
        train_clips: Training clips.
        val_clips: Validation clips, from photographs that no training clip uses.
        frames: Frames of each clip.
        size: Side of the square RGB frames in pixels.
        steps_per_frame: Spike-camera steps in one exposure; exposures follow each other without a gap.
        threshold: Firing threshold of the spike camera.
        sharp_instants: Instants of the exposure, 0 to 1, beside its middle of which sharp frames are written too.
        rgb_per_spike_pixel: Side of a spike pixel in RGB pixels.
        noise: Probability of a false spike per pixel and step, see
            :class:`~vrtspike.datasets.simulation.camera.IntegrateAndFire`.
        speed: Factor of all speeds, as of an exposure that is longer by this factor.
    """

    seed: int = 0
    train_clips: int = 120
    val_clips: int = 6
    frames: int = 5
    size: int = 128
    steps_per_frame: int = 64
    threshold: float = 1.0
    sharp_instants: tuple[float, ...] = ()
    rgb_per_spike_pixel: int = RGB_PER_SPIKE_PIXEL
    noise: float = 0.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        low = [
            f'{key}={getattr(self, key)} (at least {least})'
            for key, least in LEAST.items()
            if getattr(self, key) < least
        ]
        if low:
            raise ConfigError(f'demo clips cannot be made with {", ".join(low)}')
        require_positive('demo clips', speed=self.speed)
        ratio = self.rgb_per_spike_pixel
        if self.size % ratio:
            raise ConfigError(f'demo clips got size={self.size}, expected a multiple of rgb_per_spike_pixel={ratio}')
        bytes_per_step(self.spike_size, self.spike_size)
        if self.sharp_instants:
            require_instants('demo clips', self.sharp_instants)

    @property
    def spike_size(self) -> int:
        """Side of the spike frames in pixels."""
        return self.size // self.rgb_per_spike_pixel

    def config(self) -> dict:
        """Return the contents of the demo's ``config.yaml``."""
        return {
            'spike_w': self.spike_size,
            'spike_h': self.spike_size,
            'threshold': self.threshold,
            'steps_per_frame': self.steps_per_frame,
            **({'interval': self.steps_per_frame} if self.sharp_instants else {}),
            'generator': dict(name='vrtspike demo', version=GENERATOR_VERSION, **self.parameters()),
        }

    def parameters(self) -> dict:
        """Return the parameters as ``config.yaml`` records them; those of older versions without newer ones."""
        parameters = {key: value for key, value in asdict(self).items() if value != NEWER.get(key)}
        instants = parameters.get('sharp_instants')
        return parameters | ({'sharp_instants': list(map(float, instants))} if instants else {})


def write_demo(root: str | os.PathLike, *, progress: bool = True, **recipe: Any) -> Path:
    """Write the demo clips, or keep existing ones; return their folder, as :func:`demo_folder` names it.

    They are written to a hidden folder, which is renamed when it is complete.

    Args:
        root: The folder of the data set.
        progress: Show a progress bar.
        recipe: Arguments of :class:`DemoRecipe`.

    Raises:
        DataError: ``root`` contains something other than demo clips.
    """
    recipe = DemoRecipe(**recipe)
    root = Path(root)
    folder = demo_folder(root, recipe)
    if folder.exists() and any(folder.iterdir()):
        return folder
    aside = root.with_name(f'.{root.name}.{uuid.uuid4().hex[:12]}')
    try:
        write_clips(aside, recipe, progress)
        try:
            os.replace(aside, folder)
        except OSError:  # another process was faster
            folder = demo_folder(root, recipe)
            if not folder.exists():
                os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def demo_folder(root: Path, recipe: DemoRecipe) -> Path:
    """Return the folder for a demo: ``root``, or a folder beside it if ``root`` has a demo of another recipe.

    Raises:
        DataError: The folder contains something other than demo clips.
    """
    wanted = recipe.config()['generator']
    own = root.with_name(f'{root.name}_{hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]}')
    for folder in (root, own):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return folder
        found = read_config(folder / 'config.yaml').get('generator')
        if found == wanted:
            return folder
        if not isinstance(found, dict):
            raise DataError(f'{folder} contains something other than demo clips: choose another root for them')
    raise DataError(f'{own} contains the demo clips of another recipe: choose another root')


def write_clips(root: Path, recipe: DemoRecipe, progress: bool) -> None:
    """Write every clip and ``config.yaml`` into the new folder ``root``."""
    root.mkdir(parents=True)
    clips = [('train', index) for index in range(recipe.train_clips)]
    clips += [('val', index) for index in range(recipe.val_clips)]
    with step_progress(disable=not progress) as bar:
        for split, index in bar.track(clips, description='Writing demo clips'):
            write_clip(root, recipe, split, index)
    (root / 'config.yaml').write_text(yaml.safe_dump(recipe.config(), sort_keys=False), encoding='utf-8')


def write_clip(root: Path, recipe: DemoRecipe, split: str, index: int) -> None:
    """Write one clip; it depends on the recipe's seed, ``split`` and ``index`` alone."""
    rng = clip_rng(recipe, split, index)
    scene = demo_scene(rng, recipe, split, index)
    camera = IntegrateAndFire(recipe.spike_size, recipe.spike_size, recipe.threshold, rng, noise=recipe.noise)
    folder = root / split / f'{index:03d}_{Path(background_of(split, index)).stem}'
    for kind in ('blur', 'sharp', 'spike'):
        (folder / kind).mkdir(parents=True)
    for frame in range(recipe.frames):
        blur, sharp, spikes = expose(scene, camera, frame, recipe.steps_per_frame)
        write_image(folder / 'blur' / f'{frame:05d}.png', encode_srgb_uint8(blur))
        write_image(folder / 'sharp' / f'{frame:05d}.png', encode_srgb_uint8(sharp))
        for instant in set(recipe.sharp_instants) - {MIDDLE}:
            image = encode_srgb_uint8(scene.render(frame + instant))
            write_image(folder / 'sharp' / f'{frame:05d}@{instant:g}.png', image)
        write_spike_dat(folder / 'spike' / f'{frame:05d}.dat', spikes)


def clip_rng(recipe: DemoRecipe, split: str, index: int) -> np.random.Generator:
    """Return the random generator of a clip; it first draws the scene."""
    return np.random.default_rng((recipe.seed, list(PHOTOGRAPHS).index(split), index))


def demo_scene(rng: np.random.Generator, recipe: DemoRecipe, split: str, index: int) -> Scene:
    """Draw the scene of a clip."""
    background = background_of(split, index)
    return random_scene(
        rng,
        (background, *(name for name in PHOTOGRAPHS[split] if name != background)),
        (recipe.size, recipe.size),
        duration=recipe.frames,
        speeds=tuple(recipe.speed * speed * recipe.size for speed in SPEEDS[split]),
        varied=split == 'train',
    )


def background_of(split: str, index: int) -> str:
    """Return the photograph behind the objects of a clip."""
    return PHOTOGRAPHS[split][index % len(PHOTOGRAPHS[split])]


def expose(scene: Scene, camera: IntegrateAndFire, frame: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and the middle image of one exposure, linear (H, W, 3), and its spikes."""
    size = camera.charge.shape[::-1]
    total = np.zeros((*scene.size, 3), np.float32)
    spikes = np.empty((steps, *camera.charge.shape), np.uint8)
    for step in range(steps):
        instant = scene.render(frame + (step + 0.5) / steps)
        total += instant
        spikes[step] = camera.step(luminance(cv2.resize(instant, size, interpolation=cv2.INTER_AREA)))
    return total / steps, scene.render(frame + 0.5), spikes
