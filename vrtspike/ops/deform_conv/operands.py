"""What the operators of our own kernels share: the types of their arguments, and how many FLOPs they have.

Shapes are those of :func:`vrtspike.ops.deform_conv2d`; K = k*k taps.
"""

from __future__ import annotations

import math
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
    """Return the arguments as our kernels take them: contiguous, offsets in float32, the others in one of ``dtypes``.

    That is the type of ``x``, or under autocast the one it casts to; float32 if the kernel lacks it.
    """
    dtype = computes_in(x) if computes_in(x) in dtypes else torch.float32
    x, mask, weight, bias = (t if t is None else t.to(dtype).contiguous() for t in (x, mask, weight, bias))
    return x, offset.to(torch.float32).contiguous(), mask, weight, bias


def register_flops(forward: Any, backward: Any) -> None:
    """Register the FLOPs of a pair of operators with the arguments ``x, offset, mask, weight``.

    The backward pass has two products, samples again, and computes the gradients of the map and of the positions.
    """
    register_flop_formula(forward)(_formula(products=1, samples=1))
    register_flop_formula(backward)(_formula(products=2, samples=3))


def _formula(products: int, samples: int):
    def flops(x_shape, offset_shape, mask_shape, weight_shape, *arguments, out_shape=None, **kwargs) -> int:
        pixels, taps = offset_shape[0] * math.prod(offset_shape[2:]), math.prod(weight_shape[2:])
        product = pixels * math.prod(weight_shape)
        sampled = pixels * taps * x_shape[1]
        return 2 * (products * product + samples * SAMPLE * sampled)

    return flops
