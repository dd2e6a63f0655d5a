"""Converts the tensors of a batch to the 8-bit images that are scored and shown."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from vrtspike.datasets.color import encode_light


def to_uint8_frames(frames: torch.Tensor) -> np.ndarray:
    """Return (T, 3, H, W) frames as (T, H, W, 3) uint8 images; floats are clamped to [0, 1] and rounded."""
    if frames.dtype != torch.uint8:
        frames = frames.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).cpu().numpy())


def playback_frames(spikes: torch.Tensor, size: tuple[int, int], light: str = 'linear') -> np.ndarray:
    """Return the TFP (texture from playback) of the spikes as (T, H, W) uint8 gray images.

    The mean over the bins is the intensity of the exposure in [0, 1]. It becomes values of a frame, which are resized
    bilinearly.

    Args:
        spikes: (T, K, Hs, Ws), the spike rate of each bin times the threshold.
        size: (H, W) of the images.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames.
    """
    intensity = spikes.detach().float().mean(dim=1).cpu().numpy()
    height, width = size
    return np.stack([_to_uint8(cv2.resize(encode_light(image, light), (width, height))) for image in intensity])


def luma(frames: np.ndarray) -> np.ndarray:
    """Return the (T, H, W) uint8 luma (BT.601 weights) of (T, H, W, 3) uint8 RGB frames."""
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
