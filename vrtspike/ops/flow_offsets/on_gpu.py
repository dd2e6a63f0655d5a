"""Offsets and masks on GPUs with Triton: one pass over the maps, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.flow_offsets.results import new_predictions, new_results, save_results
from vrtspike.ops.triton_support import in_triton

BLOCK, WARPS = 512, 4
"""Pixels of a program: four a thread, a load of 16 bytes in float32."""
TAPS = 9
"""Taps of a program at most: enough to load the flow seldom, few enough for many programs."""


class Constants(NamedTuple):
    """What a kernel is compiled for: taps of all neighbours, neighbours, and taps and pixels of a program."""

    ALL: int
    NEIGHBOURS: int
    TAPS: int
    BLOCK: int = BLOCK


def on_gpu(predicted: Tensor, flows: Tensor, max_residue: float) -> tuple[Tensor, Tensor]:
    """Compute :func:`vrtspike.ops.flow_offsets` in float32."""
    return _values(predicted.contiguous(), flows.float().contiguous(), max_residue)


@torch.library.custom_op('vrtspike::triton_flow_offsets', mutates_args=())
def _values(predicted: Tensor, flows: Tensor, max_residue: float) -> tuple[Tensor, Tensor]:
    """Return offsets in float32 and masks of contiguous tensors, flows in float32."""
    from vrtspike.ops.flow_offsets import triton_kernels as kernels

    offset, mask = new_results(predicted)
    _launch(kernels.offsets_kernel, (predicted, flows, offset, mask), (max_residue,), mask, flows)
    return offset, mask


@_values.register_fake
def _(predicted, flows, max_residue):
    return new_results(predicted)


@torch.library.custom_op('vrtspike::triton_flow_offsets_backward', mutates_args=())
def _gradients(
    grad_offset: Tensor, grad_mask: Tensor, offset: Tensor, mask: Tensor, flows: Tensor, max_residue: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of predictions, and partial sums (N, neighbours, parts, 2, H, W) of those of flows."""
    from vrtspike.ops.flow_offsets import triton_kernels as kernels

    grads = new_predictions(mask), _partial(flows, mask)
    tensors = (grad_offset, grad_mask, offset, mask, flows, *grads)
    numbers = (max_residue, 1 / max_residue if max_residue else 0.0)
    _launch(kernels.offsets_backward_kernel, tensors, numbers, mask, flows)
    return grads


@_gradients.register_fake
def _(grad_offset, grad_mask, offset, mask, flows, max_residue):
    return new_predictions(mask), _partial(flows, mask)


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    predicted, partial = _gradients(*(grad.contiguous() for grad in grads), *ctx.saved_tensors, ctx.max_residue)
    return predicted, partial.sum(2).flatten(1, 2), None


_values.register_autograd(_backward, setup_context=save_results)


def _partial(flows: Tensor, mask: Tensor) -> Tensor:
    constants = _constants(flows, mask)
    parts = constants.ALL // constants.NEIGHBOURS // constants.TAPS
    return flows.new_empty((len(flows), constants.NEIGHBOURS, parts, 2, *flows.shape[2:]))


def _launch(kernel: Any, tensors: tuple[Tensor, ...], numbers: tuple[float, ...], mask: Tensor, flows: Tensor) -> None:
    constants, pixels = _constants(flows, mask), mask.shape[2:].numel()
    grid = (-(-pixels // BLOCK), len(mask) * constants.ALL // constants.TAPS)
    if all(grid):
        kernel[grid](*tensors, *numbers, pixels, S=in_triton(constants), num_warps=WARPS)


def _constants(flows: Tensor, mask: Tensor) -> Constants:
    taps, neighbours = mask.shape[1], flows.shape[1] // 2
    return Constants(taps, neighbours, math.gcd(taps // neighbours, TAPS))
