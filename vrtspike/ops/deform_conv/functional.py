"""Modulated deformable convolution (arXiv 1811.11168): every tap of the kernel samples at its own position."""

from __future__ import annotations

from torch import Tensor

from vrtspike.ops.backends import Request
from vrtspike.ops.deform_conv.backends import DEFORM_CONV2D
from vrtspike.ops.deform_conv.trials import trial_of_convolution
from vrtspike.ops.trial_outcomes import measures


def deform_conv2d(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: int = 1
) -> Tensor:
    """Convolve ``x`` at displaced positions, every tap weighted by a mask; samples outside the map are zero.

    Args:
        x: Map (N, C, H, W).
        offset: Displacement of every tap (N, 2*D*k*k, H', W') in pixels: for each of the D deformable groups and
            each tap of the kernel (rows first) its y, then its x. D divides C.
        mask: Weight of every tap (N, D*k*k, H', W').
        weight: Kernel (C_out, C/groups, k, k); the number of groups follows from its shape.
        bias: (C_out,) or None.
        padding: Zero padding in pixels on every side; stride and dilation are 1.

    Returns:
        (N, C_out, H', W') with H' = H + 2*padding - k + 1.

    Raises:
        ValueError: The shapes of the arguments do not fit together.
    """
    _check_shapes(x, offset, mask, weight, padding)
    trial = trial_of_convolution(x, offset, mask, weight, bias, padding) if measures(x) else None
    return DEFORM_CONV2D.choose(x, Request(trial=trial)).run(x, offset, mask, weight, bias, padding=padding)


def _check_shapes(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, padding: int) -> None:
    n, channels, height, width = x.shape
    k = weight.shape[-1]
    size = (height + 2 * padding - k + 1, width + 2 * padding - k + 1)
    if channels % weight.shape[1] or weight.shape[0] % (channels // weight.shape[1]):
        raise ValueError(f'deform_conv2d: {channels} channels do not fit a kernel {tuple(weight.shape)}')
    deformable_groups, rest = divmod(mask.shape[1], k * k)
    if rest or not deformable_groups or channels % deformable_groups:
        raise ValueError(f'deform_conv2d: {mask.shape[1]} masks for {k * k} taps of {channels} channels')
    expected = (n, 2 * mask.shape[1], *size)
    if tuple(offset.shape) != expected or tuple(mask.shape) != (n, mask.shape[1], *size):
        found = f'offset {tuple(offset.shape)} and mask {tuple(mask.shape)}'
        raise ValueError(f'deform_conv2d: expected an offset {expected} and its mask, found {found}')
