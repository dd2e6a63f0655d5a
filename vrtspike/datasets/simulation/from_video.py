"""Makes a sequence of the processed layout from a video: blurred frames, sharp frames, spikes.

Exposures follow each other without a gap; each covers some frames of the video and is divided into the steps of the
spike camera. Its blurred frame is the mean of the light over its steps, its sharp frame is the light at its middle. A
sequence is written to a hidden folder and renamed when it is complete. The state of the camera is saved with it, so
that an interrupted run can be resumed with identical results.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from vrtspike.datasets.color import encode_light_uint8, luminance
from vrtspike.datasets.instants import MIDDLE, require_instants
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.io.video import ImageFolder, VideoFile, open_frames
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.joining import METADATA, join_data_set, require_free, require_same, write_yaml
from vrtspike.datasets.simulation.light_stream import LightStream
from vrtspike.datasets.spike_dat import bytes_per_step, write_spike_dat
from vrtspike.errors import ConfigError, DataError, require_positive_integers
from vrtspike.runtime.atomic_write import atomic_write

KINDS = ('blur', 'sharp', 'spike')
STATE = 'state.npz'
# Exposures between two saved states. A resumed run simulates those after the last state again, with the same result.
SAVE_EVERY = 8
OUTPUT_FPS = 30


@dataclass(frozen=True)
class SimulationSettings:
    """Settings that, with the video, determine a simulated sequence.

    Args:
        frames_per_exposure: Frames of the video that one exposure covers.
        steps_per_frame: Steps of the spike camera in one exposure.
        interpolation: Light between frames, see :class:`~vrtspike.datasets.simulation.light_stream.LightStream`.
        light: How pixel values become light, see the same class.
        threshold: Charge at which a pixel fires, in units of full intensity times one step.
        rgb_per_spike_pixel: RGB pixels along one spike pixel.
        reset: The charge after a spike, see :class:`~vrtspike.datasets.simulation.camera.IntegrateAndFire`.
        noise: Probability of a false spike per pixel and step.
        dead_time: Steps after a spike in which a pixel neither integrates nor fires.
        seed: Seed of the initial charges and the noise.
        sharp_instants: Instants of the exposure, 0 to 1, beside its middle of which sharp frames are written too.
    """

    frames_per_exposure: int
    steps_per_frame: int = 56
    interpolation: str = 'flow'
    light: str = 'linear'
    threshold: float = 1.0
    rgb_per_spike_pixel: int = 2
    reset: str = 'subtract'
    noise: float = 0.0
    dead_time: int = 0
    seed: int = 0
    sharp_instants: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.sharp_instants:
            require_instants('a simulation', self.sharp_instants)
        names = ('frames_per_exposure', 'steps_per_frame', 'rgb_per_spike_pixel')
        require_positive_integers('a simulation', **{name: getattr(self, name) for name in names})

    def recorded(self) -> dict:
        """Return the settings as ``simulation.yaml`` records them; those of older versions without newer ones."""
        recorded = asdict(self)
        instants = recorded.pop('sharp_instants')
        return recorded | ({'sharp_instants': list(instants)} if instants else {})

    @property
    def instants(self) -> tuple[float, ...]:
        """The instants of sharp frames, in order."""
        return tuple(sorted({MIDDLE, *self.sharp_instants}))


def default_frames_per_exposure(fps: float | None) -> int:
    """Return how many frames make an exposure of about 1/30 s."""
    if fps is None:
        raise ConfigError('the frame rate is unknown (a folder of frames has none): give --frames-per-exposure')
    return max(round(fps / OUTPUT_FPS), 1)


def simulate_sequence(
    video: Path,
    root: Path,
    split: str,
    name: str,
    settings: SimulationSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Simulate a video as ``root/split/name``, or resume an interrupted simulation; return that folder.

    Args:
        video: A video file or a folder of frames.
        root: A data set in the processed layout; created if it does not exist.
        split: ``'train'`` or ``'val'``.
        name: Name of the new sequence.
        settings: Settings of the camera and the exposure.
        progress: Called with the exposures done and their expected total.

    Raises:
        DataError: The video cannot be read or is too short, or ``root`` contains incompatible data.
    """
    frames = open_frames(video)
    size = fitted_size(frames.size, settings.rgb_per_spike_pixel)
    metadata = {'video': video.resolve().name, 'size': list(size), 'split': split, **settings.recorded()}
    folder = root / split / name
    require_free(root, split, name)
    if (folder / METADATA).is_file():
        require_same(folder, metadata)
        return folder
    if folder.exists():
        raise DataError(f'{folder} exists and was not simulated: choose another --name')
    join_data_set(root, data_set_config(size, settings))
    growing = folder.with_name(f'.{name}.growing')
    if (growing / METADATA).is_file():
        require_same(growing, metadata)
    else:
        for kind in KINDS:
            (growing / kind).mkdir(parents=True, exist_ok=True)
        write_yaml(growing / METADATA, metadata)
    exposures = write_exposures(frames, growing, size, settings, progress)
    if not exposures:
        raise DataError(
            f'{video} has fewer than the {settings.frames_per_exposure} frames of one exposure: choose fewer frames '
            'per exposure, or a longer video'
        )
    (growing / STATE).unlink(missing_ok=True)
    os.replace(growing, folder)
    return folder


def write_exposures(
    frames: ImageFolder | VideoFile,
    folder: Path,
    size: tuple[int, int],
    settings: SimulationSettings,
    progress: Callable[[int, int], None],
) -> int:
    """Write the exposures that are missing, in order; return how many the video has."""
    covered = settings.frames_per_exposure
    camera = new_camera(size, settings)
    exposure = load_state(folder / STATE, camera)
    # Before the instant of a frame, light is interpolated from the frame before it.
    first = max(exposure * covered - 1, 0)
    cropped = (centre_crop(frames.read(i, i + 1)[0], size) for i in range(first, len(frames)))
    stream = LightStream(cropped, first, settings.interpolation, settings.light)
    progress(exposure, len(frames) // covered)
    while stream.has(exposure * covered):
        camera.rng = np.random.default_rng((settings.seed, exposure))
        blur, sharp, spikes = expose(stream, camera, exposure, settings)
        if not stream.reach((exposure + 1) * covered - 1):
            break  # the rest of the video is shorter than an exposure
        write_image(folder / 'blur' / f'{exposure:06d}.png', encode_light_uint8(blur, settings.light))
        for instant, light in zip(settings.instants, sharp, strict=True):
            name = f'{exposure:06d}' if instant == MIDDLE else f'{exposure:06d}@{instant:g}'
            write_image(folder / 'sharp' / f'{name}.png', encode_light_uint8(light, settings.light))
        write_spike_dat(folder / 'spike' / f'{exposure:06d}.dat', spikes)
        exposure += 1
        if exposure % SAVE_EVERY == 0:
            save_state(folder / STATE, camera, exposure)
        progress(exposure, len(frames) // covered)
    return exposure


def expose(
    stream: LightStream, camera: IntegrateAndFire, exposure: int, settings: SimulationSettings
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return the mean light (H, W, 3) of one exposure, the light at every instant of its settings, and its spikes."""
    steps, start = settings.steps_per_frame, exposure * settings.frames_per_exposure
    size = camera.charge.shape[::-1]
    total, sharp, light, seen = np.float32(0), [], None, None
    instants = list(settings.instants)

    def see_until(time: float) -> None:
        while instants and instants[0] <= time:
            sharp.append(stream.at(start + instants.pop(0) * settings.frames_per_exposure))

    spikes = np.empty((steps, *camera.charge.shape), np.uint8)
    for step in range(steps):
        see_until((step + 0.5) / steps)
        instant = stream.at(start + (step + 0.5) * settings.frames_per_exposure / steps)
        if instant is not light:  # the light between two frames may be constant
            light, seen = instant, luminance(cv2.resize(instant, size, interpolation=cv2.INTER_AREA))
        total = total + instant
        spikes[step] = camera.step(seen)
    see_until(1)
    return total / steps, sharp, spikes


def data_set_config(size: tuple[int, int], settings: SimulationSettings) -> dict:
    """Return the ``config.yaml`` of a data set with frames of ``size``."""
    height, width = (length // settings.rgb_per_spike_pixel for length in size)
    return {
        'spike_w': width,
        'spike_h': height,
        'threshold': settings.threshold,
        'steps_per_frame': settings.steps_per_frame,
        **({} if settings.light == 'linear' else {'light': settings.light}),
        'interval': settings.steps_per_frame,  # no time passes between exposures
    }


def new_camera(size: tuple[int, int], settings: SimulationSettings) -> IntegrateAndFire:
    """Return the spike camera for frames of ``size`` before the first exposure."""
    height, width = (length // settings.rgb_per_spike_pixel for length in size)
    rng = np.random.default_rng(settings.seed)
    options = {'reset': settings.reset, 'noise': settings.noise, 'dead_time': settings.dead_time}
    return IntegrateAndFire(height, width, settings.threshold, rng, **options)


def load_state(path: Path, camera: IntegrateAndFire) -> int:
    """Restore the saved state of the camera, if any; return how many exposures are done."""
    try:
        with np.load(path, allow_pickle=False) as state:
            exposure, charge = int(state['exposure']), state['charge']
            waiting = None if camera.waiting is None else state['waiting']
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0  # absent or damaged: all exposures are simulated again, with the same result
    camera.charge, camera.waiting = charge, waiting
    return exposure


def save_state(path: Path, camera: IntegrateAndFire, exposure: int) -> None:
    """Save the camera's state after ``exposure`` exposures."""
    waiting = {} if camera.waiting is None else {'waiting': camera.waiting}
    with atomic_write(path) as aside:
        np.savez(aside, charge=camera.charge, exposure=exposure, **waiting)


def fitted_size(size: tuple[int, int], ratio: int) -> tuple[int, int]:
    """Return the largest (height, width) within ``size`` at which spikes fill whole pixels and whole bytes."""
    height, width = (length // ratio for length in size)
    if height * width % 8:
        width -= width % 8
    if height < 1 or width < 1:
        raise DataError(
            f'a video of {size[0]} x {size[1]} pixels is too small for spikes at 1/{ratio} of its size: choose a '
            'smaller ratio'
        )
    bytes_per_step(height, width)
    return height * ratio, width * ratio


def centre_crop(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the middle of a frame."""
    top, left = ((have - want) // 2 for have, want in zip(frame.shape[:2], size, strict=True))
    return np.ascontiguousarray(frame[top : top + size[0], left : left + size[1]])
