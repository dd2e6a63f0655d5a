"""Synthetic scenes at any instant: photographs that shake, turn and zoom behind objects that move independently.

A scene is a stack of textured layers, each moved by a smooth random similarity transform of time. Light is linear, so
that mean images are motion blur, and the transforms give the exact optical flow. Times are in frames (one frame is one
exposure), lengths in pixels of the rendered image, positions (x, y).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vrtspike.datasets.color import encode_srgb
from vrtspike.datasets.simulation.photographs import TRAIN_PHOTOGRAPHS, load_photograph

# Textures have more pixels than the image: bilinear sampling is then as sharp as cubic, at a fifth of its cost.
OVERSAMPLING = 2
# Shake of a hand-held camera.
SHAKE_CYCLES_PER_FRAME = (0.05, 0.6)
WAVES = 3


@dataclass(frozen=True)
class Trajectory:
    """Smooth motion as sums of sinusoids: x and y in pixels, angle in radians, logarithm of the zoom.

    Args:
        amplitude: (4, waves).
        frequency: (4, waves) in cycles per frame.
        phase: (4, waves) in radians.
    """

    amplitude: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, speed: float, radius: float, duration: float) -> Trajectory:
        """Draw a motion with a mean speed of ``speed`` pixels per frame over ``duration`` frames.

        Rotation and zoom move a point at ``radius`` pixels from the centre by up to half and a third of that.
        """
        shape = (4, WAVES)
        frequency = np.exp(rng.uniform(*np.log(SHAKE_CYCLES_PER_FRAME), shape))
        wave = cls(rng.normal(size=shape) / frequency, frequency, rng.uniform(0, 2 * np.pi, shape))
        path = wave(np.linspace(0, duration, 65))
        velocity = np.abs(np.diff(path, axis=1)).mean(axis=1) * 64 / duration
        velocity[:2] = np.hypot(*np.diff(path[:2], axis=1)).mean() * 64 / duration
        wanted = speed * np.array([1, 1, rng.uniform(0, 1 / 2) / radius, rng.uniform(0, 1 / 3) / radius])
        return cls(wave.amplitude * (wanted / velocity)[:, None], wave.frequency, wave.phase)

    def __call__(self, time: float | np.ndarray) -> np.ndarray:
        """Return (x, y, angle, log zoom) at one time (4,), or at many (4, times)."""
        phase = np.multiply.outer(2 * np.pi * self.frequency, time).T + self.phase.T
        return (self.amplitude.T * np.sin(phase)).sum(axis=-2).T


@dataclass(frozen=True)
class Layer:
    """A texture and its motion.

    Args:
        texture: (h, w, 4) float32, linear RGB premultiplied by the opacity in the fourth channel, oversampled.
        anchor: Position of the texture's centre in the image where the trajectory is zero.
        trajectory: Its motion about that position.
    """

    texture: np.ndarray
    anchor: np.ndarray
    trajectory: Trajectory

    def to_image(self, time: float) -> np.ndarray:
        """Return the (2, 3) matrix from texture to image positions at ``time``."""
        x, y, angle, log_zoom = self.trajectory(time).tolist()
        zoom = math.exp(log_zoom) / OVERSAMPLING
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        middle_y, middle_x = (self.texture.shape[0] - 1) / 2, (self.texture.shape[1] - 1) / 2
        x, y = x + self.anchor[0], y + self.anchor[1]
        return np.array(
            [[cos, -sin, x - cos * middle_x + sin * middle_y], [sin, cos, y - sin * middle_x - cos * middle_y]]
        )

    def render(self, time: float, size: tuple[int, int]) -> np.ndarray:
        """Return the layer alone as an opaque image (H, W, 4), mirrored beyond its edges."""
        return self.sample(self.to_image(time), (0, 0, size[1], size[0]), cv2.BORDER_REFLECT_101)

    def draw(self, image: np.ndarray, time: float) -> None:
        """Draw the layer over ``image`` (H, W, 4) in place."""
        matrix = self.to_image(time)
        left, top, right, bottom = box = self.box(matrix, image.shape)
        if left < right and top < bottom:
            drawn = self.sample(matrix, box, cv2.BORDER_CONSTANT)
            region = image[top:bottom, left:right]
            region *= 1 - drawn[..., 3:]
            region += drawn

    def sample(self, matrix: np.ndarray, box: tuple[int, int, int, int], border: int) -> np.ndarray:
        """Return the part of the image in ``box`` (left, top, right, bottom); ``matrix`` maps texture to image."""
        left, top, right, bottom = box
        shifted = matrix - [[0, 0, left], [0, 0, top]]
        inverse = cv2.invertAffineTransform(shifted)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(self.texture, inverse, (right - left, bottom - top), flags=flags, borderMode=border)

    def box(self, matrix: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return a box (left, top, right, bottom) around the texture in an image of ``size`` (H, W, ...)."""
        (cos, minus_sin, x), (sin, _, y) = matrix.tolist()
        half_y, half_x = self.texture.shape[0] / 2, self.texture.shape[1] / 2
        centre_x, centre_y = x + cos * half_x + minus_sin * half_y, y + sin * half_x + cos * half_y
        reach_x = abs(cos) * half_x + abs(sin) * half_y + 2
        reach_y = abs(sin) * half_x + abs(cos) * half_y + 2
        left, right = (min(max(math.floor(centre_x + s * reach_x), 0), size[1]) for s in (-1, 1))
        top, bottom = (min(max(math.floor(centre_y + s * reach_y), 0), size[0]) for s in (-1, 1))
        return left, top, right, bottom


@dataclass(frozen=True)
class Scene:
    """Layers from back to front; the first is the opaque background.

    Args:
        layers: The background, then the objects.
        size: (H, W) of the rendered image.
    """

    layers: tuple[Layer, ...]
    size: tuple[int, int]

    def render(self, time: float) -> np.ndarray:
        """Return the instantaneous image at ``time``, linear light, (H, W, 3) float32."""
        image = self.layers[0].render(time, self.size)
        for layer in self.layers[1:]:
            layer.draw(image, time)
        return image[..., :3]

    def expose(self, start: float, end: float, instants: int = 33) -> np.ndarray:
        """Return the mean of equally spaced instantaneous images between two times, linear light, (H, W, 3)."""
        times = start + (end - start) * (np.arange(instants) + 0.5) / instants
        return np.mean([self.render(time) for time in times], axis=0, dtype=np.float32)

    def visible_layer(self, time: float) -> np.ndarray:
        """Return the index of the layer seen at each pixel (the last with at least half opacity), (H, W) int."""
        seen = np.zeros(self.size, int)
        for index, layer in enumerate(self.layers[1:], start=1):
            opacity = np.zeros((*self.size, 4), np.float32)
            layer.draw(opacity, time)
            seen[opacity[..., 3] >= 0.5] = index
        return seen

    def flow(self, start: float, end: float) -> np.ndarray:
        """Return the motion from ``start`` to ``end`` of the surface at each pixel, (2, H, W) float32, x then y."""
        points = np.indices(self.size)[::-1].reshape(2, -1)

        def moved(layer: Layer) -> np.ndarray:
            backward, forward = cv2.invertAffineTransform(layer.to_image(start)), layer.to_image(end)
            texture = backward[:, :2] @ points + backward[:, 2:]
            return forward[:, :2] @ texture + forward[:, 2:]

        flows = np.stack([(moved(layer) - points).reshape(2, *self.size) for layer in self.layers])
        seen = self.visible_layer(start)[None, None]
        return np.take_along_axis(flows, seen, axis=0)[0].astype(np.float32)


def random_scene(
    rng: np.random.Generator,
    photographs: Sequence[str],
    size: tuple[int, int],
    *,
    duration: float,
    speeds: tuple[float, float],
    objects: tuple[int, int] = (1, 3),
    varied: bool = True,
) -> Scene:
    """Draw a scene: a background from the first of ``photographs`` and objects cut out of any of them.

    Args:
        rng: Source of every choice.
        photographs: Names as :mod:`vrtspike.datasets.simulation.photographs` lists them.
        size: (H, W) of the rendered image.
        duration: Frames over which the motion has the drawn speed.
        speeds: Lowest and highest mean speed, in pixels per frame; drawn log-uniformly for each layer.
        objects: Lowest and highest number of objects.
        varied: Vary the colours and tones of the photographs.
    """
    side = max(size)
    extent = (round(size[0] + 0.75 * side), round(size[1] + 0.75 * side))

    def trajectory(radius: float) -> Trajectory:
        return Trajectory.random(rng, np.exp(rng.uniform(*np.log(speeds))), radius, duration)

    background = opaque(random_texture(rng, photographs[0], extent, side, varied))
    layers = [Layer(background, np.array([size[1] - 1, size[0] - 1]) / 2, trajectory(side / 2))]
    for _ in range(rng.integers(objects[0], objects[1] + 1)):
        diameter = round(side * rng.uniform(0.2, 0.55))
        texture = random_texture(rng, str(rng.choice(photographs)), (diameter, diameter), side, varied)
        anchor = rng.uniform(0.1, 0.9, 2) * (size[1], size[0])
        layers.append(Layer(cut_out(rng, texture), anchor, trajectory(side / 2)))
    return Scene(tuple(layers), size)


def random_texture(
    rng: np.random.Generator, photograph: str, extent: tuple[int, int], side: int, varied: bool
) -> np.ndarray:
    """Return a random crop of a photograph in linear light, at most ``OVERSAMPLING`` times ``extent`` (h, w).

    The shorter side of the whole photograph spans 1.2 to 3 times ``side`` pixels of the image, or fewer, because
    photographs are not enlarged.
    """
    photo = load_photograph(photograph)
    short = min(photo.shape[:2])
    scale = min(1.0, side * np.exp(rng.uniform(*np.log((1.2, 3.0)))) / short)
    height, width = (min(length, round(wanted / scale)) for length, wanted in zip(photo.shape[:2], extent, strict=True))
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    crop = photo[top : top + height, left : left + width]
    crop = cv2.resize(crop, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    crop = crop[:, ::-1] if rng.random() < 0.5 else crop
    crop = vary_tone(rng, crop) if varied else crop
    fine = (crop.shape[1] * OVERSAMPLING, crop.shape[0] * OVERSAMPLING)
    return np.clip(cv2.resize(crop, fine, interpolation=cv2.INTER_CUBIC), 0, 1)


def vary_tone(rng: np.random.Generator, linear: np.ndarray) -> np.ndarray:
    """Return linear RGB (h, w, 3) with its channels shuffled and a random gamma, gain and tint."""
    linear = linear[..., rng.permutation(3)]
    if rng.random() < 0.5:
        linear = linear[::-1]
    gamma = np.exp(rng.uniform(-0.4, 0.4)) * np.exp(rng.uniform(-0.15, 0.15, 3))
    gain = np.exp(rng.uniform(-0.5, 0.3)) * np.exp(rng.uniform(-0.25, 0.25, 3))
    return np.clip(linear ** gamma.astype(np.float32) * gain.astype(np.float32), 0, 1)


def opaque(texture: np.ndarray) -> np.ndarray:
    """Return RGB (h, w, 3) with an opacity of one as the fourth channel."""
    return np.dstack([texture, np.ones(texture.shape[:2], np.float32)])


def cut_out(rng: np.random.Generator, texture: np.ndarray) -> np.ndarray:
    """Return RGB (h, w, 3) inside a random smooth outline with a soft edge, premultiplied (h, w, 4)."""
    height, width = texture.shape[:2]
    y, x = np.indices((height, width))
    y, x = (y - (height - 1) / 2) / (height / 2), (x - (width - 1) / 2) / (width / 2)
    outline = 0.7 + sum(
        rng.uniform(-0.25, 0.25) / wave * np.cos(wave * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi))
        for wave in (1, 2, 3, 5)
    )
    edge = OVERSAMPLING * 1.5 / (min(height, width) / 2)
    opacity = np.clip((outline - np.hypot(x, y)) / edge + 0.5, 0, 1).astype(np.float32)[..., None]
    return np.concatenate([texture * opacity, opacity], axis=2)


def random_motion_pair(
    rng: np.random.Generator, size: int | tuple[int, int], *, max_speed: float = 10.0, exposure: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw two frames of a training scene and the exact flow between them, for pretraining optical flow.

    Args:
        rng: Source of every choice.
        size: Side, or (H, W), in pixels.
        max_speed: Highest mean speed of a layer, in pixels per frame; the lowest is a thirtieth of it.
        exposure: Exposure time of each frame, as a fraction of the interval; 0 gives sharp frames.

    Returns:
        frame0, frame1 and flow01: sRGB-encoded RGB (3, H, W) float32 in [0, 1], twice, and (2, H, W) float32, x then
        y, in pixels. Sampling frame1 at ``p + flow01(p)`` gives frame0, except where the surface is hidden or outside
        frame1; the flow is its motion there too.
    """
    height, width = (size, size) if isinstance(size, int) else size
    photographs = rng.permutation(TRAIN_PHOTOGRAPHS).tolist()
    speeds = (max_speed / 30, max_speed)
    scene = random_scene(rng, photographs, (height, width), duration=1, speeds=speeds)
    frames = [frame_around(scene, time, exposure).transpose(2, 0, 1) for time in (0.0, 1.0)]
    return np.ascontiguousarray(frames[0]), np.ascontiguousarray(frames[1]), scene.flow(0.0, 1.0)


def frame_around(scene: Scene, time: float, exposure: float) -> np.ndarray:
    """Return the scene at ``time``, blurred over ``exposure`` frames around it, sRGB-encoded (H, W, 3)."""
    linear = scene.expose(time - exposure / 2, time + exposure / 2) if exposure else scene.render(time)
    return encode_srgb(linear)
