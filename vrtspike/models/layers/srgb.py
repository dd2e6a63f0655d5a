"""Colour encoding of tensors: sRGB to linear light and back (IEC 61966-2-1), with finite gradients everywhere.

Values outside of [0, 1], which networks return, continue the curves: linear below, as a power above.
"""

from __future__ import annotations

import torch
from torch import Tensor

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear RGB in the intensity that a grey sensor sees (Rec. 709)."""


def decode_srgb(encoded: Tensor) -> Tensor:
    """Return the linear light of sRGB-encoded values."""
    power = ((encoded.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= 0.04045, encoded / 12.92, power)


def encode_srgb(linear: Tensor) -> Tensor:
    """Return linear light encoded as sRGB."""
    power = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, power)
