"""The light of a video at any time, interpolated between its frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from vrtspike.datasets.color import decode_srgb
from vrtspike.datasets.sources.sequence import LIGHTS
from vrtspike.errors import ConfigError, did_you_mean

INTERPOLATIONS = ('flow', 'linear', 'none')


class Frame(NamedTuple):
    """A frame (H, W, 3): its uint8 values and its light, float32 in [0, 1]."""

    encoded: np.ndarray
    light: np.ndarray


class LightStream:
    """Light of a video at increasing times; at most two frames are kept in memory.

    Times are in frames: frame i shows the instant i + 1/2. Light between two instants is interpolated; before the first
    and after the last one it is constant.

    Args:
        frames: The frames from number ``start`` on, (H, W, 3) uint8.
        start: Number of the first frame.
        interpolation: Between two frames, ``'flow'`` moves both along the optical flow and blends them, ``'linear'``
            blends them without motion, ``'none'`` repeats the first.
        light: ``'linear'`` decodes frames from sRGB, ``'encoded'`` uses their values as light.
    """

    def __init__(self, frames: Iterator[np.ndarray], start: int, interpolation: str, light: str) -> None:
        if interpolation not in INTERPOLATIONS:
            raise ConfigError(f'{interpolation=} is unknown{did_you_mean(interpolation, INTERPOLATIONS)}')
        if light not in LIGHTS:
            raise ConfigError(f'{light=} is unknown{did_you_mean(light, LIGHTS)}')
        self.frames = frames
        self.interpolation = interpolation
        levels = np.arange(256, dtype=np.float32) / 255
        self.levels = decode_srgb(levels) if light == 'linear' else levels
        self.number = start
        self.current, self.following = self.load(), self.load()
        self.flows: tuple[np.ndarray, np.ndarray] | None = None

    def load(self) -> Frame | None:
        """Return the next frame, None after the last one."""
        encoded = next(self.frames, None)
        return None if encoded is None else Frame(encoded, self.levels[encoded])

    def at(self, time: float) -> np.ndarray:
        """Return the light (H, W, 3) float32 in [0, 1] at ``time``, which must not decrease between calls."""
        time = time if self.interpolation == 'none' else time - 0.5
        while self.following is not None and time >= self.number + 1:
            self.advance()
        fraction = time - self.number
        if self.interpolation == 'none' or self.following is None or fraction <= 0:
            return self.current.light
        if self.interpolation == 'flow':
            return self.flow_blend(np.float32(fraction))
        return self.current.light + np.float32(fraction) * (self.following.light - self.current.light)

    def has(self, number: int) -> bool:
        """Return whether the video has frame ``number``, which is at most one after the current frame."""
        return self.current is not None and number <= self.number + (self.following is not None)

    def reach(self, number: int) -> bool:
        """Advance to frame ``number``; return whether the video has it."""
        while self.following is not None and self.number < number:
            self.advance()
        return self.has(number)

    def advance(self) -> None:
        """Advance by one frame."""
        self.current, self.following = self.following, self.load()
        self.number += 1
        self.flows = None

    def flow_blend(self, fraction: np.float32) -> np.ndarray:
        """Return both frames moved to the instant between them and blended, the nearer one with more weight."""
        if self.flows is None:
            self.flows = flows_between(self.current.encoded, self.following.encoded)
        forward, backward = self.flows
        rest = 1 - fraction
        # Flow is known at the frames only. At the instant between them, motion is assumed to be linear.
        to_current = fraction * (fraction * backward - rest * forward)
        to_following = rest * (rest * forward - fraction * backward)
        return rest * warped(self.current.light, to_current) + fraction * warped(self.following.light, to_following)


def flows_between(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the optical flow from one frame to the other and back, each (H, W, 2) float32 in pixels."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (one, other)]
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return estimator.calc(*gray, None), estimator.calc(*gray[::-1], None)


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the image sampled at every pixel plus its flow, its border repeated."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return cv2.remap(
        image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
