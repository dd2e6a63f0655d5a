"""Triton kernels of deformable convolution: sample, mask and product in one pass over the map.

``forward_kernel`` and ``backward_samples_kernel`` compute a block of output pixels for one group of the kernel, in a
loop over blocks of channels and taps. ``backward_weight_kernel`` computes the kernel's gradient for one tap and block
of channels, and sums it over every ``splits``-th block of pixels. Samples exist for one block at a time, in registers.
The last axis of all blocks is pixels, as in memory, so neighbouring threads read and add to neighbouring pixels.

A block of channels has BG deformable groups and BC channels of each, MOVED without padding.

Names: C channels, H, W of the map; P pixels of the output, OW its width; GROUPS of the kernel, each with DG deformable
groups and OUT outputs; K taps a side; BM pixels, BO outputs in one block. ``weight`` is (taps, outputs, channels of a
group).
"""

from __future__ import annotations

import triton
import triton.language as tl

# The formatter would put each of the many parameters on a line of its own.
# fmt: off


@triton.jit
def locate(offset, mask, group, pixel, tap, kept, H, W, P, OW, K: tl.constexpr, PADDING: tl.constexpr):
    """Return row and column of the pixel above and left of a tap's positions, the fractions from it, and the mask."""
    plane = group * (K * K) + tap
    y = tl.load(offset + (2 * plane * P + pixel), mask=kept, other=0.0)
    x = tl.load(offset + ((2 * plane + 1) * P + pixel), mask=kept, other=0.0)
    weight = tl.load(mask + (plane * P + pixel), mask=kept, other=0.0).to(tl.float32)
    y += (pixel // OW + (tap // K - PADDING)).to(tl.float32)
    x += (pixel % OW + (tap % K - PADDING)).to(tl.float32)
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
def load_weight(weight, tap, group, chunk, GROUPS: tl.constexpr, DG: tl.constexpr, MOVED: tl.constexpr,
                OUT: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr, BO: tl.constexpr):
    """Return the kernel (BO, BG * BC) of a tap and a block of channels; zero where either pads."""
    o, j = tl.arange(0, BO)[:, None], tl.arange(0, BG * BC)[None, :]
    moving, c = chunk * BG + j // BC, j % BC
    at = (tap * GROUPS + group) * OUT * DG * MOVED + o * (DG * MOVED) + moving * MOVED + c
    return tl.load(weight + at, mask=(o < OUT) & (moving < DG) & (c < MOVED), other=0.0)


@triton.jit
def load_outputs(pointer, group, pixel, P, OUT: tl.constexpr, BO: tl.constexpr):
    """Return (BO, BM) of one image's outputs or their gradients; zero where either pads."""
    o = tl.arange(0, BO)[:, None]
    at = (group * OUT + o) * P + pixel[None, :]
    return tl.load(pointer + at, mask=(o < OUT) & (pixel[None, :] < P), other=0.0)


@triton.jit
def channels_of(group, chunk, pixel, P, DG: tl.constexpr, MOVED: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr):
    """Return deformable groups (BG, 1, 1), channels (BG, BC, 1), pixels (1, 1, BM), and what pads none of them."""
    moving = chunk * BG + tl.arange(0, BG)[:, None, None]
    c = tl.arange(0, BC)[None, :, None]
    deformable = group * DG + moving
    pixel = pixel[None, None, :]
    placed = (moving < DG) & (pixel < P)
    return deformable, deformable * MOVED + c, pixel, placed, placed & (c < MOVED)


@triton.jit
def masked_samples(x, offset, mask, group, chunk, tap, pixel, H, W, P, OW,
                   DG: tl.constexpr, MOVED: tl.constexpr, K: tl.constexpr, PADDING: tl.constexpr,
                   BG: tl.constexpr, BC: tl.constexpr):
    """Return the masked samples (BG, BC, BM) of one image."""
    deformable, channel, pixel, placed, kept = channels_of(group, chunk, pixel, P, DG, MOVED, BG, BC)
    row, column, y, x_fraction, weight = locate(offset, mask, deformable, pixel, tap, placed, H, W, P, OW, K, PADDING)
    planes = x + channel * (H * W)
    lower, upper = weight * y, weight - weight * y
    samples = load_corner(planes, row, column, kept, H, W) * (upper - upper * x_fraction)
    samples += load_corner(planes, row, column + 1, kept, H, W) * (upper * x_fraction)
    samples += load_corner(planes, row + 1, column, kept, H, W) * (lower - lower * x_fraction)
    samples += load_corner(planes, row + 1, column + 1, kept, H, W) * (lower * x_fraction)
    return samples


@triton.jit
def forward_kernel(x, offset, mask, weight, bias, out, H, W, P, OW,
                   C: tl.constexpr, GROUPS: tl.constexpr, DG: tl.constexpr, MOVED: tl.constexpr, OUT: tl.constexpr,
                   K: tl.constexpr, PADDING: tl.constexpr, BIAS: tl.constexpr,
                   PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                   BM: tl.constexpr, BO: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr):
    program, blocks = tl.program_id(0), tl.cdiv(P, BM)
    group, n = program // blocks % GROUPS, (program // (blocks * GROUPS)).to(tl.int64)
    pixel = program % blocks * BM + tl.arange(0, BM)
    x, out = x + n * C * H * W, out + n * (GROUPS * OUT) * P
    offset, mask = offset + n * (2 * GROUPS * DG * K * K) * P, mask + n * (GROUPS * DG * K * K) * P
    o = tl.arange(0, BO)
    result = tl.zeros((BO, BM), tl.float32)
    if BIAS:
        result += tl.load(bias + group * OUT + o, mask=o < OUT, other=0.0).to(tl.float32)[:, None]
    for step in tl.range(0, tl.cdiv(DG, BG) * K * K, num_stages=1):
        chunk, tap = step // (K * K), step % (K * K)
        samples = masked_samples(x, offset, mask, group, chunk, tap, pixel, H, W, P, OW, DG, MOVED, K, PADDING, BG, BC)
        samples = tl.reshape(samples.to(ROUNDED).to(x.dtype.element_ty), (BG * BC, BM))
        w = load_weight(weight, tap, group, chunk, GROUPS, DG, MOVED, OUT, BG, BC, BO)
        result = tl.dot(w, samples, acc=result, input_precision=PRECISION)
    at = (group * OUT + o[:, None]) * P + pixel[None, :]
    tl.store(out + at, result.to(out.dtype.element_ty), mask=(o < OUT)[:, None] & (pixel < P)[None, :])


@triton.jit
def backward_samples_kernel(x, offset, mask, weight, grad, grad_x, grad_offset, grad_mask, H, W, P, OW,
                            C: tl.constexpr, GROUPS: tl.constexpr, DG: tl.constexpr, MOVED: tl.constexpr,
                            OUT: tl.constexpr, K: tl.constexpr, PADDING: tl.constexpr,
                            PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                            BM: tl.constexpr, BO: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr):
    """Add the gradient of the map to ``grad_x``, in float32, and write those of offsets and masks."""
    program, blocks = tl.program_id(0), tl.cdiv(P, BM)
    group, n = program // blocks % GROUPS, (program // (blocks * GROUPS)).to(tl.int64)
    pixels = program % blocks * BM + tl.arange(0, BM)
    x, grad_x, grad = x + n * C * H * W, grad_x + n * C * H * W, grad + n * (GROUPS * OUT) * P
    moved = n * (GROUPS * DG * K * K) * P
    offset, grad_offset, mask, grad_mask = offset + 2 * moved, grad_offset + 2 * moved, mask + moved, grad_mask + moved
    grads = load_outputs(grad, group, pixels, P, OUT, BO)
    for step in tl.range(0, tl.cdiv(DG, BG) * K * K, num_stages=1):
        chunk, tap = step // (K * K), step % (K * K)
        w = load_weight(weight, tap, group, chunk, GROUPS, DG, MOVED, OUT, BG, BC, BO)
        g = tl.reshape(tl.dot(tl.trans(w), grads, input_precision=PRECISION), (BG, BC, BM))
        deformable, channel, pixel, placed, kept = channels_of(group, chunk, pixels, P, DG, MOVED, BG, BC)
        row, column, y, x_fraction, weights = locate(offset, mask, deformable, pixel, tap, placed, H, W, P, OW, K,
                                                     PADDING)
        planes = x + channel * (H * W)
        left = load_corner(planes, row, column, kept, H, W)
        right = load_corner(planes, row, column + 1, kept, H, W) - left
        low_left = load_corner(planes, row + 1, column, kept, H, W)
        low_right = load_corner(planes, row + 1, column + 1, kept, H, W) - low_left
        down = low_left - left + x_fraction * (low_right - right)
        along_x = right + y * (low_right - right)
        value = left + x_fraction * right + y * down
        plane = (group * DG + chunk * BG + tl.arange(0, BG)[:, None]) * (K * K) + tap
        stored = (chunk * BG + tl.arange(0, BG)[:, None] < DG) & (pixels[None, :] < P)
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
def backward_weight_kernel(x, offset, mask, grad, partial, count, splits, H, W, P, OW,
                           C: tl.constexpr, GROUPS: tl.constexpr, DG: tl.constexpr, MOVED: tl.constexpr,
                           OUT: tl.constexpr, K: tl.constexpr, PADDING: tl.constexpr,
                           PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                           BM: tl.constexpr, BO: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr):
    """Write the kernel's gradient over a share of the blocks of ``count`` images, in float32.

    ``partial`` is (splits, taps, outputs, channels of a group).
    """
    chunks: tl.constexpr = (DG + BG - 1) // BG
    program, blocks = tl.program_id(0), tl.cdiv(P, BM)
    tap, chunk = program % (K * K), program // (K * K) % chunks
    group, split = program // (K * K * chunks) % GROUPS, program // (K * K * chunks * GROUPS)
    result = tl.zeros((BO, BG * BC), tl.float32)
    for block in tl.range(split, count * blocks, splits, num_stages=1):
        n = (block // blocks).to(tl.int64)
        pixel = block % blocks * BM + tl.arange(0, BM)
        moved = n * (GROUPS * DG * K * K) * P
        samples = masked_samples(x + n * C * H * W, offset + 2 * moved, mask + moved, group, chunk, tap, pixel,
                                 H, W, P, OW, DG, MOVED, K, PADDING, BG, BC)
        samples = tl.reshape(samples.to(ROUNDED).to(x.dtype.element_ty), (BG * BC, BM))
        grads = load_outputs(grad + n * (GROUPS * OUT) * P, group, pixel, P, OUT, BO)
        result = tl.dot(grads, tl.trans(samples), acc=result, input_precision=PRECISION)
    o, j = tl.arange(0, BO)[:, None], tl.arange(0, BG * BC)[None, :]
    moving, c = chunk * BG + j // BC, j % BC
    at = ((split * (K * K) + tap) * GROUPS + group) * OUT * DG * MOVED + o * (DG * MOVED) + moving * MOVED + c
    tl.store(partial + at, result, mask=(o < OUT) & (moving < DG) & (c < MOVED))
