"""Triton kernels of window attention: cyclic shift, partition, bias, mask, softmax and merge in one pass over the map.

``forward_kernel`` and ``backward_queries_kernel`` compute a block of queries of one head, in several windows: these
share the bias, which is the start of the scores' sum. ``backward_keys_kernel`` computes a block of keys of one head in
every ``splits``-th window and sums the gradient of the bias over them. Scores are computed once in the forward pass and
twice in the backward pass; only one block of them exists at a time, in registers. Heads of the same tokens are
neighbours in the grid, so that whole lines of memory are read.

Mutual attention works frame by frame: the queries of the other frame attend to the keys of frame f, and the result is
at frame f.

Names: WT, WH, WW window; ST, SH, SW shift; T, H, W map; D channels per head, BD padded to a power of 2; N tokens that
attend to each other, NP with padding; BM queries and BN keys at most in one block. ``bias`` (heads, NP queries,
NP keys) is divided by the scale of the scores and -inf for keys that pad. ``factor`` is scale * log2(e): exponents are
powers of 2. ``lse`` and ``delta`` (windows, heads, frames, NP) are the log-sum-exps, +inf for queries that pad, and the
mean gradients of queries.
"""

from __future__ import annotations

import triton
import triton.language as tl

# The formatter would put each of the many parameters on a line of its own.
# fmt: off


@triton.constexpr_function
def blocks_of(tokens, longest):
    """Return (start, length) of blocks of ``longest`` tokens, then of smaller powers of 2; 16 divides ``tokens``."""
    blocks, start, length = [], 0, longest
    while start < tokens:
        while start + length > tokens:
            length //= 2
        blocks.append((start, length))
        start += length
    return tuple(blocks)


@triton.constexpr_function
def start_of(i, tokens, longest):
    return blocks_of(tokens, longest)[i][0]


@triton.constexpr_function
def length_of(i, tokens, longest):
    return blocks_of(tokens, longest)[i][1]


@triton.constexpr_function
def count_of(tokens, longest):
    return len(blocks_of(tokens, longest))


@triton.jit
def origin_of(window, T, H, W, WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
              ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr):
    """Return the clip of a window and its first token's place (t, h, w), beyond the map if the shift wraps it."""
    columns, rows, times = W // WW, H // WH, T // WT
    line = window // columns
    sheet = line // rows
    return (sheet // times, sheet % times * WT + ST, line % rows * WH + SH, window % columns * WW + SW)


@triton.jit
def place_of(n, frame, origin, T, H, W, WH: tl.constexpr, WW: tl.constexpr,
             ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, MUTUAL: tl.constexpr):
    """Return the places of tokens ``n`` of a window in the batch's maps, and their regions."""
    clip, first_t, first_h, first_w = origin
    t, h, w = n // (WW * WH) + frame, n // WW % WH, n % WW
    place = ((clip * T + first_t) * H + first_h) * W + first_w + ((t * H + h) * W + w)
    region = tl.zeros_like(n)
    if SW > 0:
        wraps = (first_w + w >= W).to(tl.int32)
        place -= wraps * W
        region += wraps
    if SH > 0:
        wraps = (first_h + h >= H).to(tl.int32)
        place -= wraps * (H * W)
        region += wraps * 2
    if ST > 0:
        wraps = (first_t + t >= T).to(tl.int32)
        place -= wraps * (T * H * W)
        if not MUTUAL:
            region += wraps * 4
    return place.to(tl.int64), region


@triton.jit
def has_regions(origin, T, H, W, WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr, MUTUAL: tl.constexpr):
    """Return whether the cyclic shift has made parts of a window neighbours that were none."""
    _, first_t, first_h, first_w = origin
    wraps = (first_h + WH > H) | (first_w + WW > W)
    if not MUTUAL:
        wraps |= first_t + WT > T
    return wraps


@triton.jit
def load_rows(pointer, place, head, WIDTH: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, inside):
    """Return rows (n, BD) of one head from a map with rows of WIDTH elements; zero where not ``inside``."""
    d = tl.arange(0, BD)
    at = pointer + place[:, None] * WIDTH + (head * D + d)[None, :]
    mask = inside[:, None]
    if D < BD:
        mask = mask & (d < D)[None, :]
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, place, head, rows, WIDTH: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, inside):
    """Store rows (n, BD) of one head to a map with rows of WIDTH elements, where ``inside``."""
    d = tl.arange(0, BD)
    at = pointer + place[:, None] * WIDTH + (head * D + d)[None, :]
    mask = inside[:, None]
    if D < BD:
        mask = mask & (d < D)[None, :]
    tl.store(at, rows.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def masked(scores, own_region, other_region, mixed, masked_score, SHIFTED: tl.constexpr):
    """Return scores (own, other) with the mask of a window that has several regions."""
    if SHIFTED:  # noqa: SIM102 - known when the kernel is compiled
        if mixed:
            scores += tl.where(own_region[:, None] != other_region[None, :], masked_score, 0.0)
    return scores


@triton.jit
def forward_kernel(qkv, bias, out, lse, windows, T, H, W, factor, masked_score,
                   WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                   ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                   HEADS: tl.constexpr, N: tl.constexpr, NP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
                   FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr,
                   PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                   BM: tl.constexpr, BN: tl.constexpr, WINDOWS: tl.constexpr):
    blocks: tl.constexpr = NP // BM
    width: tl.constexpr = HEADS * D
    full: tl.constexpr = NP // BN
    program = tl.program_id(0)
    head, frame = program % HEADS, program // HEADS % FRAMES
    block = program // (HEADS * FRAMES) % blocks
    first = program // (HEADS * FRAMES * blocks) * WINDOWS
    m = block * BM + tl.arange(0, BM)
    states = ()
    for i in tl.static_range(WINDOWS):
        window = tl.minimum(first + i, windows - 1)  # the last one may be computed twice
        origin = origin_of(window, T, H, W, WT, WH, WW, ST, SH, SW)
        place, region = place_of(m, FRAMES - 1 - frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        q = load_rows(qkv, place, head, 3 * width, D, BD, m < N)
        highest = tl.full((BM,), float('-inf'), tl.float32)
        states += ((origin, q, region, highest, tl.zeros((BM,), tl.float32), tl.zeros((BM, BD), tl.float32)),)
    for start in tl.range(0, full * BN, BN, num_stages=1):
        states = attend(states, start, BN, qkv, bias, m, head, frame, T, H, W, factor, masked_score,
                        WT, WH, WW, ST, SH, SW, HEADS, N, NP, D, BD, MUTUAL, BIAS, PRECISION, ROUNDED, WINDOWS)
    for i in tl.static_range(full, count_of(NP, BN)):
        states = attend(
            states, start_of(i, NP, BN), length_of(i, NP, BN), qkv, bias, m, head, frame, T, H, W, factor, masked_score,
            WT, WH, WW, ST, SH, SW, HEADS, N, NP, D, BD, MUTUAL, BIAS, PRECISION, ROUNDED, WINDOWS)
    for i in tl.static_range(WINDOWS):
        origin, _, _, highest, total, result = states[i]
        window = tl.minimum(first + i, windows - 1)
        place, _ = place_of(m, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        store_rows(out, place, head, result / total[:, None], width, D, BD, m < N)
        sums = tl.where(m < N, highest * factor + tl.log2(total), float('inf'))
        tl.store(lse + ((window.to(tl.int64) * HEADS + head) * FRAMES + frame) * NP + m, sums)


@triton.jit
def attend(states, start, LENGTH: tl.constexpr, qkv, bias, m, head, frame, T, H, W, factor, masked_score,
           WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
           ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
           HEADS: tl.constexpr, N: tl.constexpr, NP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
           MUTUAL: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
           WINDOWS: tl.constexpr):
    """Return the states of the windows' queries after a block of keys: highest scores, sums and results."""
    n = start + tl.arange(0, LENGTH)
    width: tl.constexpr = HEADS * D
    shifted: tl.constexpr = SH + SW > 0 or (ST > 0 and not MUTUAL)
    if BIAS:
        added = tl.load(bias + (head * NP + m[:, None]) * NP + n[None, :])
    else:
        added = tl.where(n < N, 0.0, float('-inf'))[None, :] + tl.zeros((m.shape[0], 1), tl.float32)
    after = ()
    for i in tl.static_range(WINDOWS):
        origin, q, region, highest, total, result = states[i]
        place, k_region = place_of(n, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        k = load_rows(qkv + width, place, head, 3 * width, D, BD, n < N)
        v = load_rows(qkv + 2 * width, place, head, 3 * width, D, BD, n < N)
        scores = tl.dot(q, tl.trans(k), acc=added, input_precision=PRECISION)
        mixed = has_regions(origin, T, H, W, WT, WH, WW, MUTUAL)
        scores = masked(scores, region, k_region, mixed, masked_score, shifted)
        new_highest = tl.maximum(highest, tl.max(scores, 1))
        shrink = tl.exp2((highest - new_highest) * factor)
        p = tl.exp2(scores * factor - (new_highest * factor)[:, None])
        total = total * shrink + tl.sum(p, 1)
        result = tl.dot(p.to(ROUNDED).to(v.dtype), v, acc=result * shrink[:, None], input_precision=PRECISION)
        after += ((origin, q, region, new_highest, total, result),)
    return after


@triton.jit
def backward_queries_kernel(qkv, bias, grad, lse, grad_q, delta, windows, T, H, W, scale, factor, masked_score,
                            WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                            ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                            HEADS: tl.constexpr, N: tl.constexpr, NP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
                            FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr,
                            PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                            BM: tl.constexpr, BN: tl.constexpr, WINDOWS: tl.constexpr):
    """Write the gradient of a block of queries, and their mean gradient.

    The mean gradient of a query, sum(p * grad of p), is usually computed from the result of the forward pass. If that
    result is rounded to 16 bits, all gradients of a query are shifted, which harms training. Here it is summed in the
    same pass: with a first estimate c, the gradient is sum(p * (grad of p - c) * k) - (mean - c) * sum(p * k). The
    estimate is the gradient's product with the mean of some values, so what is rounded is small.
    """
    blocks: tl.constexpr = NP // BM
    width: tl.constexpr = HEADS * D
    full: tl.constexpr = NP // BN
    some: tl.constexpr = 16 if N >= 16 else N
    program = tl.program_id(0)
    head, frame = program % HEADS, program // HEADS % FRAMES
    block = program // (HEADS * FRAMES) % blocks
    first = program // (HEADS * FRAMES * blocks) * WINDOWS
    m = block * BM + tl.arange(0, BM)
    few = tl.arange(0, 16)
    states = ()
    for i in tl.static_range(WINDOWS):
        window = tl.minimum(first + i, windows - 1)  # the last one may be computed twice
        origin = origin_of(window, T, H, W, WT, WH, WW, ST, SH, SW)
        place, region = place_of(m, FRAMES - 1 - frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        q = load_rows(qkv, place, head, 3 * width, D, BD, m < N)
        place, _ = place_of(m, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        g = load_rows(grad, place, head, width, D, BD, m < N)
        place, _ = place_of(few, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        v = load_rows(qkv + 2 * width, place, head, 3 * width, D, BD, few < N)
        estimate = tl.sum(g.to(tl.float32) * (tl.sum(v.to(tl.float32), 0) / some)[None, :], 1)
        sums = tl.load(lse + ((window.to(tl.int64) * HEADS + head) * FRAMES + frame) * NP + m)
        zeros = tl.zeros((BM, BD), tl.float32)
        states += ((origin, q, region, g, sums, estimate, tl.zeros((BM,), tl.float32), zeros, zeros),)
    for start in tl.range(0, full * BN, BN, num_stages=1):
        states = gradients_of_queries(
            states, start, BN, qkv, bias, m, head, frame, T, H, W, factor, masked_score, WT, WH, WW, ST, SH, SW,
            HEADS, N, NP, D, BD, MUTUAL, BIAS, PRECISION, ROUNDED, WINDOWS)
    for i in tl.static_range(full, count_of(NP, BN)):
        states = gradients_of_queries(
            states, start_of(i, NP, BN), length_of(i, NP, BN), qkv, bias, m, head, frame, T, H, W, factor, masked_score,
            WT, WH, WW, ST, SH, SW, HEADS, N, NP, D, BD, MUTUAL, BIAS, PRECISION, ROUNDED, WINDOWS)
    for i in tl.static_range(WINDOWS):
        origin, _, _, _, _, estimate, rest, result, keys = states[i]
        window = tl.minimum(first + i, windows - 1)
        place, _ = place_of(m, FRAMES - 1 - frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        store_rows(grad_q, place, head, (result - rest[:, None] * keys) * scale, 3 * width, D, BD, m < N)
        tl.store(delta + ((window.to(tl.int64) * HEADS + head) * FRAMES + frame) * NP + m, estimate + rest)


@triton.jit
def gradients_of_queries(states, start, LENGTH: tl.constexpr, qkv, bias, m, head, frame, T, H, W, factor, masked_score,
                         WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                         ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                         HEADS: tl.constexpr, N: tl.constexpr, NP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
                         MUTUAL: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                         WINDOWS: tl.constexpr):
    """Return the states of the windows' queries after a block of keys."""
    n = start + tl.arange(0, LENGTH)
    width: tl.constexpr = HEADS * D
    shifted: tl.constexpr = SH + SW > 0 or (ST > 0 and not MUTUAL)
    if BIAS:
        added = tl.load(bias + (head * NP + m[:, None]) * NP + n[None, :])
    else:
        added = tl.where(n < N, 0.0, float('-inf'))[None, :] + tl.zeros((m.shape[0], 1), tl.float32)
    after = ()
    for i in tl.static_range(WINDOWS):
        origin, q, region, g, sums, estimate, rest, result, keys = states[i]
        place, k_region = place_of(n, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        k = load_rows(qkv + width, place, head, 3 * width, D, BD, n < N)
        v = load_rows(qkv + 2 * width, place, head, 3 * width, D, BD, n < N)
        scores = tl.dot(q, tl.trans(k), acc=added, input_precision=PRECISION)
        mixed = has_regions(origin, T, H, W, WT, WH, WW, MUTUAL)
        scores = masked(scores, region, k_region, mixed, masked_score, shifted)
        p = tl.exp2(scores * factor - sums[:, None])
        grad_p = p * (tl.dot(g, tl.trans(v), input_precision=PRECISION) - estimate[:, None])
        rest += tl.sum(grad_p, 1)
        result = tl.dot(grad_p.to(ROUNDED).to(k.dtype), k, acc=result, input_precision=PRECISION)
        keys = tl.dot(p.to(ROUNDED).to(k.dtype), k, acc=keys, input_precision=PRECISION)
        after += ((origin, q, region, g, sums, estimate, rest, result, keys),)
    return after


@triton.jit
def backward_keys_kernel(qkv, bias, grad, lse, delta, grad_kv, partial, windows, splits,
                         T, H, W, scale, factor, masked_score,
                         WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                         ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                         HEADS: tl.constexpr, N: tl.constexpr, NP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
                         FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr,
                         PRECISION: tl.constexpr, ROUNDED: tl.constexpr,
                         BM: tl.constexpr, BN: tl.constexpr, WINDOWS: tl.constexpr, TRAINS_BIAS: tl.constexpr):
    """Write the gradients of a block of keys and values, and sum that of the bias: partial (splits, heads, NP, NP).

    The gradients are transposed here (channels x keys), so that warps share their products.
    """
    blocks: tl.constexpr = NP // BN
    width: tl.constexpr = HEADS * D
    steps: tl.constexpr = count_of(NP, BM)
    shifted: tl.constexpr = SH + SW > 0 or (ST > 0 and not MUTUAL)
    program = tl.program_id(0)
    head, frame = program % HEADS, program // HEADS % FRAMES
    block = program // (HEADS * FRAMES) % blocks
    split = program // (HEADS * FRAMES * blocks)
    n = block * BN + tl.arange(0, BN)
    summed = ()
    if TRAINS_BIAS:
        for i in tl.static_range(steps):
            summed += (tl.zeros((length_of(i, NP, BM), BN), tl.float32),)
    for window in tl.range(split, windows, splits, num_stages=1):
        origin = origin_of(window, T, H, W, WT, WH, WW, ST, SH, SW)
        mixed = has_regions(origin, T, H, W, WT, WH, WW, MUTUAL)
        place, region = place_of(n, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
        k = load_rows(qkv + width, place, head, 3 * width, D, BD, n < N)
        v = load_rows(qkv + 2 * width, place, head, 3 * width, D, BD, n < N)
        grad_k = tl.zeros((BD, BN), tl.float32)
        grad_v = tl.zeros((BD, BN), tl.float32)
        statistics = (((window + tl.zeros((), tl.int64)) * HEADS + head) * FRAMES + frame) * NP
        after = ()
        for i in tl.static_range(steps):
            m = start_of(i, NP, BM) + tl.arange(0, length_of(i, NP, BM))
            q_place, q_region = place_of(m, FRAMES - 1 - frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
            q = load_rows(qkv, q_place, head, 3 * width, D, BD, m < N)
            o_place, _ = place_of(m, frame, origin, T, H, W, WH, WW, ST, SH, SW, MUTUAL)
            g = load_rows(grad, o_place, head, width, D, BD, m < N)
            sums, mean = tl.load(lse + statistics + m), tl.load(delta + statistics + m)
            if BIAS:
                added = tl.load(bias + (head * NP + m[:, None]) * NP + n[None, :])
            else:
                added = tl.zeros((m.shape[0], BN), tl.float32)
            scores = tl.dot(q, tl.trans(k), acc=added, input_precision=PRECISION)
            scores = masked(scores, q_region, region, mixed, masked_score, shifted)
            p = tl.exp2(scores * factor - sums[:, None])
            grad_scores = p * (tl.dot(g, tl.trans(v), input_precision=PRECISION) - mean[:, None])
            grad_v = tl.dot(tl.trans(g), p.to(ROUNDED).to(g.dtype), acc=grad_v, input_precision=PRECISION)
            grad_k = tl.dot(tl.trans(q), grad_scores.to(ROUNDED).to(q.dtype), acc=grad_k, input_precision=PRECISION)
            if TRAINS_BIAS:
                after += (summed[i] + grad_scores,)
        summed = after
        store_rows(grad_kv, place, head, tl.trans(grad_k) * scale, 3 * width, D, BD, n < N)
        store_rows(grad_kv + width, place, head, tl.trans(grad_v), 3 * width, D, BD, n < N)
    if TRAINS_BIAS:
        for i in tl.static_range(steps):
            m = start_of(i, NP, BM) + tl.arange(0, length_of(i, NP, BM))
            at = partial + ((split.to(tl.int64) * HEADS + head) * NP + m[:, None]) * NP + n[None, :]
            tl.store(at, summed[i])
