"""Supervised clips from data without sharp frames."""

from __future__ import annotations

import cv2
import numpy as np

from vrtspike.datasets.color import decode_srgb, encode_srgb_uint8, luminance
from vrtspike.datasets.sdm import sdm
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.scenes import OVERSAMPLING, Layer, Scene, Trajectory, cut_out, opaque
from vrtspike.datasets.transforms.crops import PairedRandomCrop, rgb_per_spike_pixel
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Resimulate:
    """Replace a clip by one that is simulated from its own spikes and blurred frames, with exact sharp frames.

    SDM's estimate of one frame becomes the texture of a scene, in which a background and one object move at random. The
    estimate is shown at half its height and width, which halves its remaining blur. This works because photographs look
    alike at every scale. The new clip has the frames, steps and threshold of the old one. Sharp frames of the data are
    not used.

    Put it after a crop that is at least twice as large, and before the other transforms.

    Args:
        size: Side of the new clip in RGB pixels.
        speeds: Lowest and highest mean speed in pixels per frame; each layer draws one log-uniformly.
        share: Fraction of the clips that are replaced. The others are randomly cropped to ``size``.
    """

    def __init__(self, size: int, speeds: tuple[float, float] = (1.0, 12.0), share: float = 1.0) -> None:
        self.crop = PairedRandomCrop(size)
        if len(speeds) != 2 or not 0 < speeds[0] <= speeds[1]:
            raise ConfigError(f'Resimulate got speeds={speeds}, expected 0 < lowest <= highest')
        if not 0 <= share <= 1:
            raise ConfigError(f'Resimulate got share={share}, expected 0 to 1')
        self.size, self.speeds, self.share = size, tuple(speeds), share

    def __call__(self, results: dict) -> dict:
        """Replace ``blur``, ``sharp`` and raw ``spikes``, or crop them; draws from ``results['rng']``.

        Raises:
            DataError: There are no raw spikes.
            ConfigError: The frames are less than twice as large as the new clip, or are not of the middle instant.
        """
        spikes = results.get('spikes')
        if spikes is None or spikes.dtype != np.uint8:
            raise DataError('Resimulate got no raw spikes: use data with spikes, and put it before BinSpikes')
        if 'instant' in results:
            raise ConfigError("Resimulate shows the middle of the exposure: leave out the data set's instants")
        rng, frames = results['rng'], len(results['blur'])
        height, width = results['blur'].shape[1:3]
        if min(height, width) < 2 * self.size:
            raise ConfigError(
                f'Resimulate(size={self.size}) got frames of {height} x {width} pixels, expected at least twice its '
                f'size: put it after a crop of {2 * self.size} or more'
            )
        if rng.random() >= self.share:
            return self.crop(results)
        linear = results['meta']['light'] == 'linear'
        chosen = int(rng.integers(frames))
        estimate = sdm(results['blur'][chosen], np.asarray(spikes[chosen]), results['meta']['light'])
        values = estimate / np.float32(255)
        scene = self.scene(rng, decode_srgb(values) if linear else values, frames)
        side = int(self.size / rgb_per_spike_pixel(results))
        camera = IntegrateAndFire(side, side, results['meta']['threshold'], rng)
        exposures = [expose(scene, camera, frame, spikes.shape[1]) for frame in range(frames)]
        blur, sharp, fired = (np.stack(each) for each in zip(*exposures, strict=True))
        encode = encode_srgb_uint8 if linear else encoded_uint8
        return {**results, 'blur': encode(blur), 'sharp': encode(sharp), 'spikes': fired}

    def scene(self, rng: np.random.Generator, image: np.ndarray, frames: int) -> Scene:
        """Return a scene of one image (H, W, 3), in the light of the camera, and an object cut out of it."""

        def trajectory() -> Trajectory:
            return Trajectory.random(rng, np.exp(rng.uniform(*np.log(self.speeds))), self.size / 2, frames)

        height, width = image.shape[:2]
        diameter = round(OVERSAMPLING * self.size * rng.uniform(0.2, 0.55))
        top, left = (int(rng.integers(max(length - diameter, 0) + 1)) for length in (height, width))
        part = np.ascontiguousarray(image[::-1, ::-1][top : top + diameter, left : left + diameter])
        middle = np.full(2, (self.size - 1) / 2)
        anchor = rng.uniform(0.1, 0.9, 2) * self.size
        layers = Layer(opaque(image), middle, trajectory()), Layer(cut_out(rng, part), anchor, trajectory())
        return Scene(layers, (self.size, self.size))


def expose(scene: Scene, camera: IntegrateAndFire, frame: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and the middle image of one exposure (H, W, 3), in the camera's light, and its spikes."""
    images = np.stack([scene.render(frame + (step + 0.5) / steps) for step in range(steps)])
    size = camera.charge.shape[::-1]
    light = np.stack([cv2.resize(luminance(image), size, interpolation=cv2.INTER_AREA) for image in images])
    return images.mean(axis=0, dtype=np.float32), scene.render(frame + 0.5), camera.run(light)


def encoded_uint8(values: np.ndarray) -> np.ndarray:
    """Return encoded values in [0, 1] as 8-bit values."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
