"""Triton kernels of window attention: cyclic shift, partition, bias, mask, softmax and merge in one pass over the map.

``forward_kernel`` and ``backward_queries_kernel`` compute a block of queries of one head, in several windows: these
share the bias, which is the start of the scores' sum. ``backward_keys_kernel`` computes a block of keys of one head in
every ``splits``-th window and sums the gradient of the bias over them. Scores are computed once in the forward pass and
twice in the backward pass; only one block of them exists at a time, in registers. Heads of the same tokens are
neighbours in the grid, so that whole lines of memory are read.

Mutual attention works frame by frame: the queries of the other frame attend to the keys of frame f, and the result is
at frame f.

``added`` are N rows (3*WIDTH) that are added to queries, keys and values, one for each of the tokens that attend to
each other, or None. The backward pass sums their gradient, or else that of the bias which queries, keys and values have
from the layer that made them: ``sums`` (programs, N or 1, 3*WIDTH). The gradient of a bias of keys is zero, because the
softmax takes no notice of what all scores of a query have in common, and that of values is that of the results.

Names: ``S`` what a kernel is compiled for, see :class:`~vrtspike.ops.window_attention.tilings.Constants`; T, H, W map,
``size``. ``bias`` (heads, NP queries, NP keys) is divided by the scale of the scores and -inf for keys that pad.
``factor`` is scale * log2(e): exponents are powers of 2. ``lse`` and ``delta`` (windows, heads, frames, NP) are the
log-sum-exps, +inf for queries that pad, and the mean gradients of queries.
"""

from __future__ import annotations

import triton
import triton.language as tl


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
def owner_of(BLOCKS: tl.constexpr, S: tl.constexpr):
    """Return the head, the frame and the block that a program owns, and its number among those that own these."""
    program = tl.program_id(0)
    head, frame = program % S.HEADS, program // S.HEADS % S.FRAMES
    return head, frame, program // (S.HEADS * S.FRAMES) % BLOCKS, program // (S.HEADS * S.FRAMES * BLOCKS)


@triton.jit
def origin_of(window, size, S: tl.constexpr):
    """Return the clip of a window and its first token's place (t, h, w), beyond the map if the shift wraps it."""
    T, H, W = size
    columns, rows, times = W // S.WW, H // S.WH, T // S.WT
    line = window // columns
    sheet = line // rows
    return (sheet // times, sheet % times * S.WT + S.ST, line % rows * S.WH + S.SH, window % columns * S.WW + S.SW)


@triton.jit
def place_of(n, frame, origin, size, S: tl.constexpr):
    """Return the places of tokens ``n`` of a window in the batch's maps, and their regions."""
    T, H, W = size
    clip, first_t, first_h, first_w = origin
    t, h, w = n // (S.WW * S.WH) + frame, n // S.WW % S.WH, n % S.WW
    place = ((clip * T + first_t) * H + first_h) * W + first_w + ((t * H + h) * W + w)
    region = tl.zeros_like(n)
    if S.SW > 0:
        wraps = (first_w + w >= W).to(tl.int32)
        place -= wraps * W
        region += wraps
    if S.SH > 0:
        wraps = (first_h + h >= H).to(tl.int32)
        place -= wraps * (H * W)
        region += wraps * 2
    if S.ST > 0:
        wraps = (first_t + t >= T).to(tl.int32)
        place -= wraps * (T * H * W)
        if not S.MUTUAL:
            region += wraps * 4
    return place.to(tl.int64), region


@triton.jit
def has_regions(origin, size, S: tl.constexpr):
    """Return whether the cyclic shift has made parts of a window neighbours that were none."""
    T, H, W = size
    _, first_t, first_h, first_w = origin
    wraps = (first_h + S.WH > H) | (first_w + S.WW > W)
    if not S.MUTUAL:
        wraps |= first_t + S.WT > T
    return wraps


@triton.jit
def row_pointers(pointer, place, head, LENGTH: tl.constexpr, inside, S: tl.constexpr):
    """Return pointers (n, BD) to rows of one head in a map with rows of LENGTH elements, and which do not pad."""
    d = tl.arange(0, S.BD)
    mask = inside[:, None]
    if S.D < S.BD:
        mask = mask & (d < S.D)[None, :]
    return pointer + place[:, None] * LENGTH + (head * S.D + d)[None, :], mask


@triton.jit
def load_rows(pointer, place, head, LENGTH: tl.constexpr, inside, S: tl.constexpr):
    """Return rows (n, BD) of one head from a map with rows of LENGTH elements; zero where not ``inside``."""
    at, mask = row_pointers(pointer, place, head, LENGTH, inside, S)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, place, head, rows, LENGTH: tl.constexpr, inside, S: tl.constexpr):
    """Store rows (n, BD) of one head to a map with rows of LENGTH elements, where ``inside``."""
    at, mask = row_pointers(pointer, place, head, LENGTH, inside, S)
    tl.store(at, rows.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def owned_queries(S: tl.constexpr):
    """Return the head, the frame and the queries that a program owns, and its first window."""
    head, frame, block, number = owner_of(S.NP // S.BM, S)
    return head, frame, block * S.BM + tl.arange(0, S.BM), number * S.WINDOWS


@triton.jit
def load_sum(qkv, added, FIRST: tl.constexpr, n, place, head, S: tl.constexpr):
    """Return queries, keys or values (n, BD), which begin at channel FIRST, plus what is added to tokens ``n``."""
    rows = load_rows(qkv + FIRST, place, head, S.ROW, n < S.N, S)
    if S.SUMS == 'rows':
        more = load_rows(added + FIRST, n, head, 3 * S.WIDTH, n < S.N, S)
        rows = (rows.to(tl.float32) + more.to(tl.float32)).to(rows.dtype)
    return rows


@triton.jit
def load_queries(qkv, added, m, frame, head, origin, size, S: tl.constexpr):
    """Return the queries (n, BD) of tokens ``m`` of a window whose result is at a frame, and their regions."""
    place, region = place_of(m, S.FRAMES - 1 - frame, origin, size, S)
    return load_sum(qkv, added, 0, m, place, head, S), region


@triton.jit
def load_keys(qkv, added, n, frame, head, origin, size, S: tl.constexpr):
    """Return keys and values (n, BD) of tokens ``n`` of a window, their places and their regions."""
    place, region = place_of(n, frame, origin, size, S)
    k = load_sum(qkv, added, S.WIDTH, n, place, head, S)
    v = load_sum(qkv, added, 2 * S.WIDTH, n, place, head, S)
    return k, v, place, region


@triton.jit
def load_bias(bias, head, m, n, S: tl.constexpr):
    """Return the bias of queries ``m`` and keys ``n``; without one it is -inf for keys that pad, and else zero."""
    if S.BIAS:
        return tl.load(bias + (head * S.NP + m[:, None]) * S.NP + n[None, :])
    return tl.where(n < S.N, 0.0, float('-inf'))[None, :] + tl.zeros((m.shape[0], 1), tl.float32)


@triton.jit
def scores_of(q, k, added, own_region, other_region, mixed, masked_score, S: tl.constexpr):
    """Return what is ``added`` and the products of queries and keys, with the mask of a window of several regions."""
    scores = tl.dot(q, tl.trans(k), acc=added, input_precision=S.PRECISION)
    if S.SHIFTED:  # noqa: SIM102 - known when the kernel is compiled
        if mixed:
            scores += tl.where(own_region[:, None] != other_region[None, :], masked_score, 0.0)
    return scores


@triton.jit
def over_keys(UPDATE: tl.constexpr, states, inputs, m, head, frame, size, factor, masked_score, S: tl.constexpr):
    """Return the states of the windows' queries after all keys; UPDATE returns them after a block of keys.

    ``inputs`` are the pointers of what it reads: qkv, bias and added.
    """
    full: tl.constexpr = S.NP // S.BN
    for start in tl.range(0, full * S.BN, S.BN, num_stages=1):
        states = UPDATE(states, start, S.BN, inputs, m, head, frame, size, factor, masked_score, S)
    for i in tl.static_range(full, count_of(S.NP, S.BN)):
        start = start_of(i, S.NP, S.BN)
        LENGTH: tl.constexpr = length_of(i, S.NP, S.BN)
        states = UPDATE(states, start, LENGTH, inputs, m, head, frame, size, factor, masked_score, S)
    return states


@triton.jit
def forward_kernel(qkv, bias, added, out, lse, windows, T, H, W, factor, masked_score, S: tl.constexpr):
    size = T, H, W
    inputs = qkv, bias, added
    head, frame, m, first = owned_queries(S)
    states = ()
    for i in tl.static_range(S.WINDOWS):
        window = tl.minimum(first + i, windows - 1)  # the last one may be computed twice
        origin = origin_of(window, size, S)
        q, region = load_queries(qkv, added, m, frame, head, origin, size, S)
        highest = tl.full((S.BM,), float('-inf'), tl.float32)
        states += ((origin, q, region, highest, tl.zeros((S.BM,), tl.float32), tl.zeros((S.BM, S.BD), tl.float32)),)
    states = over_keys(attend, states, inputs, m, head, frame, size, factor, masked_score, S)
    for i in tl.static_range(S.WINDOWS):
        origin, _, _, highest, total, result = states[i]
        window = tl.minimum(first + i, windows - 1)
        place, _ = place_of(m, frame, origin, size, S)
        store_rows(out, place, head, result / total[:, None], S.OUT_ROW, m < S.N, S)
        sums = tl.where(m < S.N, highest * factor + tl.log2(total), float('inf'))
        tl.store(lse + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m, sums)


@triton.jit
def attend(states, start, LENGTH: tl.constexpr, inputs, m, head, frame, size, factor, masked_score, S: tl.constexpr):
    """Return the states of the windows' queries after a block of keys: highest scores, sums and results."""
    qkv, bias, more = inputs
    n = start + tl.arange(0, LENGTH)
    added = load_bias(bias, head, m, n, S)
    after = ()
    for i in tl.static_range(S.WINDOWS):
        origin, q, region, highest, total, result = states[i]
        k, v, _, k_region = load_keys(qkv, more, n, frame, head, origin, size, S)
        scores = scores_of(q, k, added, region, k_region, has_regions(origin, size, S), masked_score, S)
        new_highest = tl.maximum(highest, tl.max(scores, 1))
        shrink = tl.exp2((highest - new_highest) * factor)
        p = tl.exp2(scores * factor - (new_highest * factor)[:, None])
        total = total * shrink + tl.sum(p, 1)
        result = tl.dot(p.to(S.ROUNDED).to(v.dtype), v, acc=result * shrink[:, None], input_precision=S.PRECISION)
        after += ((origin, q, region, new_highest, total, result),)
    return after


@triton.jit
def backward_queries_kernel(
    qkv,
    bias,
    added,
    grad,
    lse,
    grad_q,
    delta,
    sums,
    windows,
    splits,
    T,
    H,
    W,
    scale,
    factor,
    masked_score,
    S: tl.constexpr,
):
    """Write the gradients of a block of queries, their mean gradients, and sums.

    Sums of one row are those of every window. Those of N rows are of every ``splits``-th group of windows.

    The mean gradient of a query, sum(p * grad of p), is usually computed from the result of the forward pass. If that
    result is rounded to 16 bits, all gradients of a query are shifted, which harms training. Here it is summed in the
    same pass: with a first estimate c, the gradient is sum(p * (grad of p - c) * k) - (mean - c) * sum(p * k). The
    estimate is the gradient's product with the mean of some values, so what is rounded is small.
    """
    size = T, H, W
    inputs = qkv, bias, added
    outputs = grad_q, delta, sums
    head, frame, m, start = owned_queries(S)
    summed = tl.zeros((S.BM, S.BD), tl.float32)
    if S.SUMS == 'rows':
        for first in tl.range(start, windows, splits * S.WINDOWS, num_stages=1):
            summed += of_windows(
                inputs, outputs, grad, lse, m, head, frame, first, windows, size, scale, factor, masked_score, S
            )
        own = own_sums(sums, start // S.WINDOWS, frame, 0, S.N, S)
        store_rows(own, m, head, summed, 3 * S.WIDTH, m < S.N, S)
    else:
        of_windows(inputs, outputs, grad, lse, m, head, frame, start, windows, size, scale, factor, masked_score, S)


@triton.jit
def of_windows(
    inputs, outputs, grad, lse, m, head, frame, first, windows, size, scale, factor, masked_score, S: tl.constexpr
):
    """Write the gradients of a block of queries in neighbouring windows, and return their sum (BM, BD)."""
    qkv, _, added = inputs
    grad_q, delta, sums = outputs
    some: tl.constexpr = 16 if S.N >= 16 else S.N
    few = tl.arange(0, 16)
    states = ()
    for i in tl.static_range(S.WINDOWS):
        window = tl.minimum(first + i, windows - 1)  # the last one may be computed twice
        origin = origin_of(window, size, S)
        q, region = load_queries(qkv, added, m, frame, head, origin, size, S)
        place, _ = place_of(m, frame, origin, size, S)
        g = load_rows(grad, place, head, S.OUT_ROW, m < S.N, S)
        place, _ = place_of(few, frame, origin, size, S)
        v = load_sum(qkv, added, 2 * S.WIDTH, few, place, head, S)
        estimate = tl.sum(g.to(tl.float32) * (tl.sum(v.to(tl.float32), 0) / some)[None, :], 1)
        exponents = tl.load(lse + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m)
        zeros = tl.zeros((S.BM, S.BD), tl.float32)
        states += ((origin, q, region, g, exponents, estimate, tl.zeros((S.BM,), tl.float32), zeros, zeros),)
    states = over_keys(gradients_of_queries, states, inputs, m, head, frame, size, factor, masked_score, S)
    summed = tl.zeros((S.BM, S.BD), tl.float32)
    for i in tl.static_range(S.WINDOWS):
        origin, _, _, g, _, estimate, rest, result, keys = states[i]
        window = tl.minimum(first + i, windows - 1)
        place, _ = place_of(m, S.FRAMES - 1 - frame, origin, size, S)
        result = (result - rest[:, None] * keys) * scale
        store_rows(grad_q, place, head, result, S.ROW, m < S.N, S)
        tl.store(delta + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m, estimate + rest)
        if S.SUMS == 'row':
            store_sums(sums, window, result, g, S)
        summed += tl.where(first + i < windows, result, 0.0)
    return summed


@triton.jit
def store_sums(sums, window, of_queries, of_results, S: tl.constexpr):
    """Store the sums of a program's gradients (BM, BD) in a window, as one row of queries, keys and values."""
    head, frame, block, _ = owner_of(S.NP // S.BM, S)
    d = tl.arange(0, S.BD)
    at = own_sums(sums, window, frame, block, S.NP // S.BM, S) + head * S.D + d
    tl.store(at, tl.sum(of_queries, 0), mask=d < S.D)
    tl.store(at + S.WIDTH, tl.zeros((S.BD,), tl.float32), mask=d < S.D)
    tl.store(at + 2 * S.WIDTH, tl.sum(of_results.to(tl.float32), 0), mask=d < S.D)


@triton.jit
def own_sums(sums, number, frame, row, ROWS: tl.constexpr, S: tl.constexpr):
    """Return where a row of the ROWS sums of a split or window and a frame begins."""
    return sums + ((number.to(tl.int64) * S.FRAMES + frame) * ROWS + row) * (3 * S.WIDTH)


@triton.jit
def gradients_of_queries(
    states, start, LENGTH: tl.constexpr, inputs, m, head, frame, size, factor, masked_score, S: tl.constexpr
):
    """Return the states of the windows' queries after a block of keys."""
    qkv, bias, more = inputs
    n = start + tl.arange(0, LENGTH)
    added = load_bias(bias, head, m, n, S)
    after = ()
    for i in tl.static_range(S.WINDOWS):
        origin, q, region, g, sums, estimate, rest, result, keys = states[i]
        k, v, _, k_region = load_keys(qkv, more, n, frame, head, origin, size, S)
        scores = scores_of(q, k, added, region, k_region, has_regions(origin, size, S), masked_score, S)
        p = tl.exp2(scores * factor - sums[:, None])
        grad_p = p * (tl.dot(g, tl.trans(v), input_precision=S.PRECISION) - estimate[:, None])
        rest += tl.sum(grad_p, 1)
        result = tl.dot(grad_p.to(S.ROUNDED).to(k.dtype), k, acc=result, input_precision=S.PRECISION)
        keys = tl.dot(p.to(S.ROUNDED).to(k.dtype), k, acc=keys, input_precision=S.PRECISION)
        after += ((origin, q, region, g, sums, estimate, rest, result, keys),)
    return after


@triton.jit
def backward_keys_kernel(
    qkv,
    bias,
    added,
    grad,
    lse,
    delta,
    grad_kv,
    partial,
    sums,
    windows,
    splits,
    T,
    H,
    W,
    scale,
    factor,
    masked_score,
    S: tl.constexpr,
):
    """Write the gradients of a block of keys and values, and sum that of the bias: partial (splits, heads, NP, NP).

    ``sums`` begins at those of keys. The gradients are transposed here (channels x keys), so that warps share their
    products.
    """
    steps: tl.constexpr = count_of(S.NP, S.BM)
    size = T, H, W
    head, frame, block, split = owner_of(S.NP // S.BN, S)
    n = block * S.BN + tl.arange(0, S.BN)
    summed = ()
    if S.TRAINS_BIAS:
        for i in tl.static_range(steps):
            summed += (tl.zeros((length_of(i, S.NP, S.BM), S.BN), tl.float32),)
    of_keys = tl.zeros((S.BD, S.BN), tl.float32)
    of_values = tl.zeros((S.BD, S.BN), tl.float32)
    for window in tl.range(split, windows, splits, num_stages=1):
        origin = origin_of(window, size, S)
        mixed = has_regions(origin, size, S)
        k, v, place, region = load_keys(qkv, added, n, frame, head, origin, size, S)
        grad_k = tl.zeros((S.BD, S.BN), tl.float32)
        grad_v = tl.zeros((S.BD, S.BN), tl.float32)
        statistics = (((window + tl.zeros((), tl.int64)) * S.HEADS + head) * S.FRAMES + frame) * S.NP
        after = ()
        for i in tl.static_range(steps):
            m = start_of(i, S.NP, S.BM) + tl.arange(0, length_of(i, S.NP, S.BM))
            q, q_region = load_queries(qkv, added, m, frame, head, origin, size, S)
            o_place, _ = place_of(m, frame, origin, size, S)
            g = load_rows(grad, o_place, head, S.OUT_ROW, m < S.N, S)
            exponents, mean = tl.load(lse + statistics + m), tl.load(delta + statistics + m)
            if S.BIAS:
                start = load_bias(bias, head, m, n, S)
            else:
                start = tl.zeros((m.shape[0], S.BN), tl.float32)  # what keys that pad get is not stored
            scores = scores_of(q, k, start, q_region, region, mixed, masked_score, S)
            p = tl.exp2(scores * factor - exponents[:, None])
            grad_scores = p * (tl.dot(g, tl.trans(v), input_precision=S.PRECISION) - mean[:, None])
            grad_v = tl.dot(tl.trans(g), p.to(S.ROUNDED).to(g.dtype), acc=grad_v, input_precision=S.PRECISION)
            grad_k = tl.dot(tl.trans(q), grad_scores.to(S.ROUNDED).to(q.dtype), acc=grad_k, input_precision=S.PRECISION)
            if S.TRAINS_BIAS:
                after += (summed[i] + grad_scores,)
        summed = after
        store_rows(grad_kv, place, head, tl.trans(grad_k) * scale, S.ROW, n < S.N, S)
        store_rows(grad_kv + S.WIDTH, place, head, tl.trans(grad_v), S.ROW, n < S.N, S)
        if S.SUMS == 'rows':
            of_keys += grad_k * scale
            of_values += grad_v
    if S.SUMS == 'rows':
        own = own_sums(sums, split, frame, 0, S.N, S)
        store_rows(own, n, head, tl.trans(of_keys), 3 * S.WIDTH, n < S.N, S)
        store_rows(own + S.WIDTH, n, head, tl.trans(of_values), 3 * S.WIDTH, n < S.N, S)
    if S.TRAINS_BIAS:
        for i in tl.static_range(steps):
            m = start_of(i, S.NP, S.BM) + tl.arange(0, length_of(i, S.NP, S.BM))
            at = partial + ((split.to(tl.int64) * S.HEADS + head) * S.NP + m[:, None]) * S.NP + n[None, :]
            tl.store(at, summed[i])
