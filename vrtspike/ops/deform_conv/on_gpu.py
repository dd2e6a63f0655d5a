"""Deformable convolution for GPUs with Triton kernels: samples exist in registers only, in both passes.

Every kernel is an operator of PyTorch, so that compilers and counters see what it reads and writes. Shapes are those of
:func:`vrtspike.ops.deform_conv2d`; D deformable groups, K = k*k taps. The gradient of the map is summed by atomic
additions, whose order differs from run to run.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.deform_conv.grid_sample import grid_sample
from vrtspike.ops.deform_conv.operands import as_operands, register_flops
from vrtspike.ops.triton_support import DTYPES, in_triton, precision_of, rounded_to

PROGRAMS = 1024
"""Of the kernel that sums the gradient of the weight: a few for each processor of a large GPU."""

WARPS = 8
CHANNELS = 32
"""That a block has at least, in whole deformable groups; products want sixteen."""
SAMPLES, PIXELS, LINE = 2048, 128, 64
"""Samples of a block, if that makes neither too many pixels for registers nor fewer than a line of LINE bytes."""

WIDEST = 128
"""Channels that move together, or outputs of a group, that a block may have."""


class Constants(NamedTuple):
    """What a kernel is compiled for, by the names in the kernels.

    C channels of the map; GROUPS of the kernel, each with OUT outputs and DG deformable groups, each of these with
    MOVED channels; K taps a side; ROUNDED Triton's type to which factors of products are rounded; BM pixels, BO outputs
    and BG deformable groups in a block, each of these with BC channels.
    """

    C: int
    GROUPS: int
    DG: int
    MOVED: int
    OUT: int
    K: int
    PADDING: int
    BIAS: bool
    PRECISION: str
    ROUNDED: Any
    BM: int
    BO: int
    BG: int
    BC: int


def on_gpu(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` without samples in memory.

    Every group of the kernel must have whole deformable groups, and blocks hold at most 128 channels. For others it
    calls :func:`~vrtspike.ops.deform_conv.grid_sample.grid_sample`.
    """
    groups = x.shape[1] // weight.shape[1]
    deformable_groups = mask.shape[1] // weight[0, 0].numel()
    widest = max(x.shape[1] // deformable_groups, len(weight) // groups)
    if deformable_groups % groups or widest > WIDEST:
        return grid_sample(x, offset, mask, weight, bias, padding=padding)
    return _forward(*as_operands(x, offset, mask, weight, bias, DTYPES), padding)


@torch.library.custom_op('vrtspike::fused_deform_conv2d', mutates_args=())
def _forward(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the output (N, C_out, H', W'); the arguments are those of :func:`as_operands`."""
    from vrtspike.ops.deform_conv import triton_kernels as kernels

    out = _output(x, offset, weight)
    constants = _constants(x, mask, weight, padding, bias=bias is not None)
    programs = len(x) * constants.GROUPS * _blocks(offset, constants)
    tensors = (x, offset, mask, weight, bias, out)
    _launch(kernels.forward_kernel, programs, tensors, (), constants, warps_of_forward(constants, x.element_size()))
    return out


@_forward.register_fake
def _(x, offset, mask, weight, bias, padding):
    return _output(x, offset, weight)


@torch.library.custom_op('vrtspike::fused_deform_conv2d_backward_samples', mutates_args=('grad_x',))
def _backward_samples(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, grad: Tensor, grad_x: Tensor, padding: int
) -> tuple[Tensor, Tensor]:
    """Add the gradient of the map to ``grad_x``, in float32; return those of offsets and masks."""
    from vrtspike.ops.deform_conv import triton_kernels as kernels

    grads = torch.empty_like(offset), torch.empty_like(mask)
    constants = _constants(x, mask, weight, padding)
    programs = len(x) * constants.GROUPS * _blocks(offset, constants)
    tensors = (x, offset, mask, weight, grad, grad_x, *grads)
    _launch(kernels.backward_samples_kernel, programs, tensors, (), constants)
    return grads


@_backward_samples.register_fake
def _(x, offset, mask, weight, grad, grad_x, padding):
    return torch.empty_like(offset), torch.empty_like(mask)


@torch.library.custom_op('vrtspike::fused_deform_conv2d_backward_weight', mutates_args=())
def _backward_weight(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, grad: Tensor, padding: int) -> Tensor:
    """Return partial sums (splits, K, C_out, C/groups) of the kernel's gradient in float32; ``weight`` is not read."""
    from vrtspike.ops.deform_conv import triton_kernels as kernels

    constants, partial = _constants(x, mask, weight, padding), _partial(x, offset, mask, weight)
    programs = len(partial) * _owners(constants)
    tensors, numbers = (x, offset, mask, grad, partial), (len(x), len(partial))
    _launch(kernels.backward_weight_kernel, programs, tensors, numbers, constants)
    return partial


@_backward_weight.register_fake
def _(x, offset, mask, weight, grad, padding):
    return _partial(x, offset, mask, weight)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, bias, ctx.padding = inputs
    ctx.save_for_backward(*tensors)
    ctx.has_bias = bias is not None


def _gradients(ctx: Any, grad: Tensor) -> tuple:
    x, offset, mask, weight = ctx.saved_tensors
    grad = grad.contiguous()
    grad_x = torch.zeros_like(x, dtype=torch.float32)
    grad_offset, grad_mask = _backward_samples(x, offset, mask, weight, grad, grad_x, ctx.padding)
    partial = _backward_weight(x, offset, mask, weight, grad, ctx.padding)
    grad_weight = partial.sum(0).to(weight.dtype)
    grad_bias = grad.sum((0, 2, 3)) if ctx.has_bias else None
    return grad_x.to(x.dtype), grad_offset, grad_mask, grad_weight, grad_bias, None


_forward.register_autograd(_gradients, setup_context=_save)
register_flops(torch.ops.vrtspike.fused_deform_conv2d, products=1, samples=1)
register_flops(torch.ops.vrtspike.fused_deform_conv2d_backward_samples, products=1, samples=3)
register_flops(torch.ops.vrtspike.fused_deform_conv2d_backward_weight, products=1, samples=1)


def _output(x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty((len(x), weight.shape[1], *offset.shape[-2:]))


def _partial(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Return an empty tensor for the partial sums of the kernel's gradient."""
    constants = _constants(x, mask, weight, padding=0)
    splits = min(len(x) * _blocks(offset, constants), max(1, PROGRAMS // _owners(constants)))
    return x.new_empty((splits, *weight.shape), dtype=torch.float32)


def _blocks(offset: Tensor, constants: Constants) -> int:
    """Return the blocks of output pixels of an image."""
    return -(-offset.shape[-2:].numel() // constants.BM)


def _owners(constants: Constants) -> int:
    """Return the blocks into which the kernel's gradient is divided."""
    return constants.K**2 * constants.GROUPS * -(-constants.DG // constants.BG)


def _launch(
    kernel: Any, programs: int, tensors: tuple, numbers: tuple, constants: Constants, warps: int = WARPS
) -> None:
    """Launch a kernel with its tensors, a map and offsets first, its own numbers, and what all kernels get."""
    x, offset, *_ = tensors
    lengths = (*x.shape[-2:], offset.shape[-2:].numel(), offset.shape[-1])
    if programs:  # an empty batch has none
        kernel[(programs,)](*tensors, *numbers, *lengths, S=in_triton(constants), num_warps=warps)


def _constants(x: Tensor, mask: Tensor, weight: Tensor, padding: int, *, bias: bool = False) -> Constants:
    taps, outputs, channels = weight.shape
    groups, deformable_groups = x.shape[1] // channels, mask.shape[1] // taps
    moved = x.shape[1] // deformable_groups
    return Constants(
        C=x.shape[1],
        GROUPS=groups,
        DG=deformable_groups // groups,
        MOVED=moved,
        OUT=outputs // groups,
        K=math.isqrt(taps),
        PADDING=padding,
        BIAS=bias,
        PRECISION=precision_of(x),
        ROUNDED=rounded_to(x.dtype),
        **blocks_of(moved, deformable_groups // groups, outputs // groups, x.element_size()),
    )


def blocks_of(moved: int, deformable_groups: int, outputs: int, itemsize: int) -> dict[str, int]:
    """Return the blocks' pixels BM, outputs BO, and deformable groups BG and channels BC of each; all powers of 2.

    Args:
        moved: Channels that move together.
        deformable_groups: Of a group of the kernel.
        outputs: Of a group of the kernel.
        itemsize: Bytes of a number.
    """
    channels = power_of_2(moved)
    together = min(power_of_2(deformable_groups), max(1, CHANNELS // channels))
    channels = max(channels, 16 // together)
    pixels = min(PIXELS, max(LINE // itemsize, SAMPLES // (channels * together)))
    return dict(BM=pixels, BO=max(16, power_of_2(outputs)), BG=together, BC=channels)


def warps_of_forward(constants: Constants, itemsize: int) -> int:
    """Return the warps of the forward kernel: half as many for the largest product in 16 bit, which AMD would spill."""
    widest = constants.BO == constants.BG * constants.BC == WIDEST
    return WARPS // 2 if widest and itemsize == 2 else WARPS


def power_of_2(length: int) -> int:
    """Return the smallest power of 2 that is no smaller."""
    return 1 << (length - 1).bit_length()
