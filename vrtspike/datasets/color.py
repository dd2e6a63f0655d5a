"""Colour encoding: sRGB to linear light and back (IEC 61966-2-1), and luminance."""

from __future__ import annotations

import numpy as np


def decode_srgb(encoded: np.ndarray) -> np.ndarray:
    """Return the linear light of sRGB-encoded values, both in [0, 1]."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Return linear light encoded as sRGB, both in [0, 1]; light beyond that range is clipped."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def encode_srgb_uint8(linear: np.ndarray) -> np.ndarray:
    """Return linear light in [0, 1] as 8-bit sRGB values."""
    return np.rint(encode_srgb(linear) * 255).astype(np.uint8)


def encode_light(seen: np.ndarray, light: str) -> np.ndarray:
    """Return what a spike camera integrated as the values of a frame, both in [0, 1].

    Args:
        seen: Intensities, such as those of TFP.
        light: ``'linear'`` light is sRGB-encoded; ``'encoded'`` values are those of a frame already.
    """
    return encode_srgb(seen) if light == 'linear' else np.clip(seen, 0, 1)


def encode_light_uint8(seen: np.ndarray, light: str) -> np.ndarray:
    """Return :func:`encode_light` as 8-bit values."""
    return np.rint(encode_light(seen, light) * 255).astype(np.uint8)


def luminance(linear: np.ndarray) -> np.ndarray:
    """Return the grey intensity (..., H, W) of linear RGB (..., H, W, 3), with the weights of Rec. 709."""
    return linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
