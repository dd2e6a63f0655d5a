"""What the operators of our own kernels share: the types of their arguments, and how many FLOPs they have.

Shapes are those of :func:`vrtspike.ops.deform_conv2d`; K = k*k taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vrtspike.ops.fused_attention import computes_in

SAMPLE = 4
"""Multiply-accumulates of a bilinear sample."""


def as_operands(
    x: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dtypes: Sequence[torch.dtype],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Return the arguments as our kernels take them: contiguous, the kernel as (K, C_out, C/groups).

    Offsets are in float32, the others in one of ``dtypes``: that of ``x``, or under autocast the one it casts to;
    float32 if the kernel lacks it.
    """
    dtype = computes_in(x) if computes_in(x) in dtypes else torch.float32
    by_tap = weight.flatten(2).permute(2, 0, 1)
    x, mask, by_tap, bias = (t if t is None else t.to(dtype).contiguous() for t in (x, mask, by_tap, bias))
    return x, offset.to(torch.float32).contiguous(), mask, by_tap, bias


def register_flops(operator: Any, *, products: int, samples: int) -> None:
    """Register the FLOPs of an operator with the arguments ``x, offset, mask, weight`` of :func:`as_operands`.

    Args:
        operator: Such as ``torch.ops.vrtspike.deform_conv2d``.
        products: Number of products with the kernel.
        samples: Passes over the samples: sampling is one, and the gradients of map and position are one each.
    """

    def flops(x_shape, offset_shape, mask_shape, weight_shape, *arguments, out_shape=None, **kwargs) -> int:
        pixels = offset_shape[0] * offset_shape[2] * offset_shape[3]
        taps, outputs, channels = weight_shape
        product, sampled = taps * outputs * channels, taps * x_shape[1] * SAMPLE
        return 2 * pixels * (products * product + samples * sampled)

    register_flop_formula(operator)(flops)
