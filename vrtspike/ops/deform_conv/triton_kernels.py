"""Triton kernels of deformable convolution: sample, mask and product in one pass over the map.

``forward_kernel`` and ``backward_samples_kernel`` compute a block of output pixels for one group of the kernel, in a
loop over blocks of channels and taps. ``backward_weight_kernel`` computes the kernel's gradient for one tap and block
of channels, and sums it over every ``splits``-th block of pixels. Samples exist for one block at a time, in registers.
The last axis of all blocks is pixels, as in memory, so neighbouring threads read and add to neighbouring pixels.

A block of channels has BG deformable groups and BC channels of each, MOVED without padding.

Names: ``S`` what a kernel is compiled for, see :class:`~vrtspike.ops.deform_conv.on_gpu.Constants`; ``size``: H, W of
the map, P pixels of the output, OW its width. ``weight`` is (taps, outputs, channels of a group).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def owner_of(P, S: tl.constexpr):
    """Return the group, the image and the pixels of a program that owns a block of outputs."""
    program, blocks = tl.program_id(0), tl.cdiv(P, S.BM)
    group, n = program // blocks % S.GROUPS, (program // (blocks * S.GROUPS)).to(tl.int64)
    return group, n, program % blocks * S.BM + tl.arange(0, S.BM)


@triton.jit
def locate(offset, mask, group, pixel, tap, kept, size, S: tl.constexpr):
    """Return row and column of the pixel above and left of a tap's positions, the fractions from it, and the mask."""
    H, W, P, OW = size
    plane = group * (S.K * S.K) + tap
    y = tl.load(offset + (2 * plane * P + pixel), mask=kept, other=0.0)
    x = tl.load(offset + ((2 * plane + 1) * P + pixel), mask=kept, other=0.0)
    weight = tl.load(mask + (plane * P + pixel), mask=kept, other=0.0).to(tl.float32)
    y += (pixel // OW + (tap // S.K - S.PADDING)).to(tl.float32)
    x += (pixel % OW + (tap % S.K - S.PADDING)).to(tl.float32)
    above, left = tl.floor(y), tl.floor(x)
    row = tl.minimum(tl.maximum(above, -2.0), H * 1.0).to(tl.int32)  # a larger number may have no integer
    column = tl.minimum(tl.maximum(left, -2.0), W * 1.0).to(tl.int32)
    return row, column, y - above, x - left, weight


@triton.jit
def corner(row, column, kept, H, W):
    """Return the places of pixels in a plane, and whether they are in the map and ``kept``."""
    inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
    return row * W + column, inside & kept


@triton.jit
def load_corner(planes, row, column, kept, H, W):
    place, inside = corner(row, column, kept, H, W)
    return tl.load(planes + place, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def add_to_corner(planes, row, column, kept, value, H, W):
    place, inside = corner(row, column, kept, H, W)
    tl.atomic_add(planes + place, value, mask=inside, sem='relaxed')


@triton.jit
def load_weight(weight, tap, group, chunk, S: tl.constexpr):
    """Return the kernel (BO, BG * BC) of a tap and a block of channels; zero where either pads."""
    at, inside = weight_positions(group, chunk, tap, S)
    return tl.load(weight + at, mask=inside, other=0.0)


@triton.jit
def weight_positions(group, chunk, tap, S: tl.constexpr):
    """Return the positions (BO, BG * BC) of a tap and a block of channels in the kernel, and which do not pad."""
    o, j = tl.arange(0, S.BO)[:, None], tl.arange(0, S.BG * S.BC)[None, :]
    moving, c = chunk * S.BG + j // S.BC, j % S.BC
    at = (tap * S.GROUPS + group) * S.OUT * S.DG * S.MOVED + o * (S.DG * S.MOVED) + moving * S.MOVED + c
    return at, (o < S.OUT) & (moving < S.DG) & (c < S.MOVED)


@triton.jit
def load_outputs(pointer, group, pixel, P, S: tl.constexpr):
    """Return (BO, BM) of one image's outputs or their gradients; zero where either pads."""
    o = tl.arange(0, S.BO)[:, None]
    at = (group * S.OUT + o) * P + pixel[None, :]
    return tl.load(pointer + at, mask=(o < S.OUT) & (pixel[None, :] < P), other=0.0)


@triton.jit
def channels_of(group, chunk, pixel, P, S: tl.constexpr):
    """Return deformable groups (BG, 1, 1), channels (BG, BC, 1), pixels (1, 1, BM), and what pads none of them."""
    moving = chunk * S.BG + tl.arange(0, S.BG)[:, None, None]
    c = tl.arange(0, S.BC)[None, :, None]
    deformable = group * S.DG + moving
    pixel = pixel[None, None, :]
    placed = (moving < S.DG) & (pixel < P)
    return deformable, deformable * S.MOVED + c, pixel, placed, placed & (c < S.MOVED)


@triton.jit
def masked_samples(x, offset, mask, group, chunk, tap, pixel, size, S: tl.constexpr):
    """Return the masked samples (BG * BC, BM) of one image, rounded."""
    H, W, P, _ = size
    deformable, channel, place, placed, kept = channels_of(group, chunk, pixel, P, S)
    row, column, y, x_fraction, weight = locate(offset, mask, deformable, place, tap, placed, size, S)
    planes = x + channel * (H * W)
    lower, upper = weight * y, weight - weight * y
    samples = load_corner(planes, row, column, kept, H, W) * (upper - upper * x_fraction)
    samples += load_corner(planes, row, column + 1, kept, H, W) * (upper * x_fraction)
    samples += load_corner(planes, row + 1, column, kept, H, W) * (lower - lower * x_fraction)
    samples += load_corner(planes, row + 1, column + 1, kept, H, W) * (lower * x_fraction)
    return tl.reshape(samples.to(S.ROUNDED).to(x.dtype.element_ty), (S.BG * S.BC, S.BM))


@triton.jit
def forward_kernel(x, offset, mask, weight, bias, out, H, W, P, OW, S: tl.constexpr):
    group, n, pixel = owner_of(P, S)
    x, out = x + n * S.C * H * W, out + n * (S.GROUPS * S.OUT) * P
    moved = n * (S.GROUPS * S.DG * S.K * S.K) * P
    offset, mask = offset + 2 * moved, mask + moved
    o = tl.arange(0, S.BO)
    result = tl.zeros((S.BO, S.BM), tl.float32)
    if S.BIAS:
        result += tl.load(bias + group * S.OUT + o, mask=o < S.OUT, other=0.0).to(tl.float32)[:, None]
    for step in tl.range(0, tl.cdiv(S.DG, S.BG) * S.K * S.K, num_stages=1):
        chunk, tap = step // (S.K * S.K), step % (S.K * S.K)
        samples = masked_samples(x, offset, mask, group, chunk, tap, pixel, (H, W, P, OW), S)
        w = load_weight(weight, tap, group, chunk, S)
        result = tl.dot(w, samples, acc=result, input_precision=S.PRECISION)
    at = (group * S.OUT + o[:, None]) * P + pixel[None, :]
    tl.store(out + at, result.to(out.dtype.element_ty), mask=(o < S.OUT)[:, None] & (pixel < P)[None, :])


@triton.jit
def backward_samples_kernel(
    x, offset, mask, weight, grad, grad_x, grad_offset, grad_mask, H, W, P, OW, S: tl.constexpr
):
    """Add the gradient of the map to ``grad_x``, in float32, and write those of offsets and masks."""
    size = H, W, P, OW
    group, n, pixels = owner_of(P, S)
    x, grad_x, grad = x + n * S.C * H * W, grad_x + n * S.C * H * W, grad + n * (S.GROUPS * S.OUT) * P
    moved = n * (S.GROUPS * S.DG * S.K * S.K) * P
    offset, grad_offset, mask, grad_mask = offset + 2 * moved, grad_offset + 2 * moved, mask + moved, grad_mask + moved
    grads = load_outputs(grad, group, pixels, P, S)
    for step in tl.range(0, tl.cdiv(S.DG, S.BG) * S.K * S.K, num_stages=1):
        chunk, tap = step // (S.K * S.K), step % (S.K * S.K)
        w = load_weight(weight, tap, group, chunk, S)
        g = tl.reshape(tl.dot(tl.trans(w), grads, input_precision=S.PRECISION), (S.BG, S.BC, S.BM))
        deformable, channel, pixel, placed, kept = channels_of(group, chunk, pixels, P, S)
        row, column, y, x_fraction, weights = locate(offset, mask, deformable, pixel, tap, placed, size, S)
        planes = x + channel * (H * W)
        left = load_corner(planes, row, column, kept, H, W)
        right = load_corner(planes, row, column + 1, kept, H, W) - left
        low_left = load_corner(planes, row + 1, column, kept, H, W)
        low_right = load_corner(planes, row + 1, column + 1, kept, H, W) - low_left
        down = low_left - left + x_fraction * (low_right - right)
        along_x = right + y * (low_right - right)
        value = left + x_fraction * right + y * down
        plane = (group * S.DG + chunk * S.BG + tl.arange(0, S.BG)[:, None]) * (S.K * S.K) + tap
        stored = (chunk * S.BG + tl.arange(0, S.BG)[:, None] < S.DG) & (pixels[None, :] < P)
        tl.store(grad_mask + (plane * P + pixels[None, :]), tl.sum(g * value, 1), mask=stored)
        g *= weights
        tl.store(grad_offset + (2 * plane * P + pixels[None, :]), tl.sum(g * down, 1), mask=stored)
        tl.store(grad_offset + ((2 * plane + 1) * P + pixels[None, :]), tl.sum(g * along_x, 1), mask=stored)
        planes = grad_x + channel * (H * W)
        lower = g * y
        upper = g - lower
        add_to_corner(planes, row, column, kept, upper - upper * x_fraction, H, W)
        add_to_corner(planes, row, column + 1, kept, upper * x_fraction, H, W)
        add_to_corner(planes, row + 1, column, kept, lower - lower * x_fraction, H, W)
        add_to_corner(planes, row + 1, column + 1, kept, lower * x_fraction, H, W)


@triton.jit
def backward_weight_kernel(x, offset, mask, grad, partial, count, splits, H, W, P, OW, S: tl.constexpr):
    """Write the kernel's gradient over a share of the blocks of ``count`` images, in float32.

    ``partial`` is (splits, taps, outputs, channels of a group).
    """
    chunks: tl.constexpr = (S.DG + S.BG - 1) // S.BG
    program, blocks = tl.program_id(0), tl.cdiv(P, S.BM)
    tap, chunk = program % (S.K * S.K), program // (S.K * S.K) % chunks
    group, split = program // (S.K * S.K * chunks) % S.GROUPS, program // (S.K * S.K * chunks * S.GROUPS)
    result = tl.zeros((S.BO, S.BG * S.BC), tl.float32)
    for block in tl.range(split, count * blocks, splits, num_stages=1):
        n = (block // blocks).to(tl.int64)
        pixel = block % blocks * S.BM + tl.arange(0, S.BM)
        moved = n * (S.GROUPS * S.DG * S.K * S.K) * P
        pointers = offset + 2 * moved, mask + moved
        samples = masked_samples(x + n * S.C * H * W, *pointers, group, chunk, tap, pixel, (H, W, P, OW), S)
        grads = load_outputs(grad + n * (S.GROUPS * S.OUT) * P, group, pixel, P, S)
        result = tl.dot(grads, tl.trans(samples), acc=result, input_precision=S.PRECISION)
    at, inside = weight_positions(group, chunk, split * (S.K * S.K) + tap, S)
    tl.store(partial + at, result, mask=inside)
