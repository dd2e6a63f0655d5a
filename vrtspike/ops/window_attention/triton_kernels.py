"""Triton kernels of window attention: cyclic shift, partition, bias, mask, softmax and merge in one pass over the map.

``forward_kernel`` and ``backward_queries_kernel`` compute a block of queries of one head, in several windows: these
share the bias, which is the start of the scores' sum. ``backward_keys_kernel`` computes a block of keys of one head in
one of ``splits`` shares of the windows and sums the gradient of the bias over them. Scores are computed once in the
forward pass and twice in the backward pass; only one block of them exists at a time, in registers. Heads of the same
tokens are neighbours in the grid, so that whole lines of memory are read.

Mutual attention works frame by frame: the queries of the other frame attend to the keys of frame f, and the result is
at frame f.

``added`` are N rows (3*WIDTH) that are added to queries, keys and values, one for each of the tokens that attend to
each other, or None. The backward pass sums their gradient, or else that of the bias which queries, keys and values have
from the layer that made them: ``sums`` (programs, N or 1, 3*WIDTH). The gradient of a bias of keys is zero, because the
softmax takes no notice of what all scores of a query have in common, and that of values is that of the results.

Names: ``S`` what a kernel is compiled for, see :class:`~vrtspike.ops.window_attention.tilings.Constants`; T, H, W map,
``size``. ``bias`` (heads, NP queries, NP keys) is divided by the scale of the scores and -inf for keys that pad.
``masks`` (kinds, NP, NP) are those of windows of every kind, also divided by the scale. Both are in tiles, see
:func:`~vrtspike.ops.window_attention.tiles.in_tiles`. ``factor`` is scale * log2(e): exponents are powers of 2. ``lse``
and ``delta`` (windows, heads, frames, NP) are the log-sum-exps, +inf for queries that pad, and the negative mean
gradients of queries, with which a product's sum begins.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vrtspike.ops.window_attention.triton_loading import (
    load_bias,
    load_keys,
    load_queries,
    load_rows,
    load_sum,
    load_tiles,
    masked,
    next_origin,
    origin_of,
    owned_queries,
    owner_of,
    place_of,
    store_rows,
)

GROUP = tl.constexpr(16)
"""Queries of a warp in a block of keys: the rows of a tensor core's matrix."""


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


@triton.constexpr_function
def log2_of(power):
    return power.bit_length() - 1


@triton.jit
def partial_sums(x):
    """Return sums (n, 8) of every eighth column: a thread sums what it has, and threads exchange them at the end."""
    return tl.sum(tl.reshape(x, (x.shape[0], x.shape[1] // 8, 8)), 1)


@triton.jit
def over_keys(UPDATE: tl.constexpr, states, inputs, row, head, frame, size, factor, S: tl.constexpr):
    """Return the states of the windows' queries after all keys; UPDATE returns them after a block of keys.

    ``inputs`` are the pointers of what it reads: qkv, bias, masks and added. ``row`` is the first query.
    """
    full: tl.constexpr = S.NP // S.BN
    for start in tl.range(0, full * S.BN, S.BN, num_stages=1):
        states = UPDATE(states, start, S.BN, inputs, row, head, frame, size, factor, S)
    for i in tl.static_range(full, count_of(S.NP, S.BN)):
        start = start_of(i, S.NP, S.BN)
        LENGTH: tl.constexpr = length_of(i, S.NP, S.BN)
        states = UPDATE(states, start, LENGTH, inputs, row, head, frame, size, factor, S)
    return states


@triton.jit
def forward_kernel(qkv, bias, masks, added, out, lse, windows, T, H, W, factor, S: tl.constexpr):
    size = T, H, W
    inputs = qkv, bias, masks, added
    head, frame, row, first = owned_queries(S)
    m = row + tl.arange(0, S.BM)
    origin = origin_of(first, size, S)
    states = ()
    for i in tl.static_range(S.WINDOWS):
        q = load_queries(qkv, added, m, frame, head, origin, size, -1, S)
        highest = tl.full((S.BM, 1), float('-inf'), tl.float32)
        states += ((origin, q, highest, tl.zeros((S.BM, 8), tl.float32), tl.zeros((S.BM, S.BD), tl.float32)),)
        origin = next_origin(origin, (first + i + 1 < windows).to(tl.int32), size, S)  # the last one may come twice
    states = over_keys(attend, states, inputs, row, head, frame, size, factor, S)
    for i in tl.static_range(S.WINDOWS):
        origin, _, highest, totals, result = states[i]
        window = tl.minimum(first + i, windows - 1)
        logarithm = tl.log2(tl.sum(totals, 1, keep_dims=True))
        place = place_of(m, frame, origin, size, S)
        store_rows(out, place, head, result * tl.exp2(-logarithm), S.OUT_ROW, m < S.N, S)
        sums = tl.where(m < S.N, tl.reshape(highest + logarithm, (S.BM,)), float('inf'))
        tl.store(lse + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m, sums)


@triton.jit
def attend(states, start, LENGTH: tl.constexpr, inputs, row, head, frame, size, factor, S: tl.constexpr):
    """Return the states of the windows' queries after a block of keys: highest exponents, sums and results.

    The highest exponents are (BM, 1). As (BM,) Triton would hold them in two layouts and compute all exponents twice.
    """
    qkv, bias, masks, more = inputs
    n = start + tl.arange(0, LENGTH)
    added = load_bias(bias, head, row, start, (S.BM, LENGTH), S)
    after = ()
    for i in tl.static_range(S.WINDOWS):
        origin, q, highest, totals, result = states[i]
        k, v, _ = load_keys(qkv, more, n, frame, head, origin, size, S)
        scores = tl.dot(q, tl.trans(k), acc=added, input_precision=S.PRECISION)
        scores = masked(scores, masks, row, start, origin, size, S)
        new_highest = tl.maximum(highest, tl.max(scores, 1, keep_dims=True) * factor)
        shrink = tl.exp2(highest - new_highest)
        p = tl.exp2(scores * factor - new_highest)
        totals = totals * shrink + partial_sums(p)
        result = tl.dot(p.to(S.ROUNDED).to(v.dtype), v, acc=result * shrink, input_precision=S.PRECISION)
        after += ((origin, q, new_highest, totals, result),)
    return after


@triton.jit
def backward_queries_kernel(
    qkv, bias, masks, added, grad, lse, grad_q, delta, sums, windows, splits, T, H, W, scale, factor, S: tl.constexpr
):
    """Write the gradients of a block of queries, their mean gradients, and sums.

    Sums of one row are those of a program's windows, at the first of them, and zero at the others. Those of N rows are
    of every ``splits``-th group of windows.

    The mean gradient of a query, sum(p * grad of p), is usually computed from the result of the forward pass. If that
    result is rounded to 16 bits, all gradients of a query are shifted, which harms training. Here it is summed in the
    same pass: with a first estimate c, the gradient is sum(p * (grad of p - c) * k) - (mean - c) * sum(p * k). The
    estimate is the gradient's product with the mean of some values, so what is rounded is small. The code has -c.
    """
    size = T, H, W
    inputs = qkv, bias, masks, added
    outputs = grad_q, delta, sums
    head, frame, row, start = owned_queries(S)
    summed = tl.zeros((S.BM, S.BD), tl.float32)
    if S.SUMS == 'rows':
        for first in tl.range(start, windows, splits * S.WINDOWS, num_stages=1):
            summed += of_windows(inputs, outputs, grad, lse, row, head, frame, first, windows, size, scale, factor, S)
        own = own_sums(sums, start // S.WINDOWS, frame, 0, S.N, S)
        m = row + tl.arange(0, S.BM)
        store_rows(own, m, head, summed, 3 * S.WIDTH, m < S.N, S)
    else:
        of_windows(inputs, outputs, grad, lse, row, head, frame, start, windows, size, scale, factor, S)


@triton.jit
def of_windows(inputs, outputs, grad, lse, row, head, frame, first, windows, size, scale, factor, S: tl.constexpr):
    """Write the gradients of a block of queries in neighbouring windows, and return their sum (BM, BD)."""
    qkv, _, _, added = inputs
    grad_q, delta, sums = outputs
    sampled: tl.constexpr = 16 if S.N >= 16 else S.N
    few = tl.arange(0, 16)
    m = row + tl.arange(0, S.BM)
    origin = origin_of(first, size, S)
    states = ()
    for i in tl.static_range(S.WINDOWS):
        window = tl.minimum(first + i, windows - 1)  # the last one may be computed twice
        q = load_queries(qkv, added, m, frame, head, origin, size, -1, S)
        g = load_rows(grad, place_of(m, frame, origin, size, S), head, S.OUT_ROW, m < S.N, -1, S)
        v = load_sum(qkv, added, 2 * S.WIDTH, few, place_of(few, frame, origin, size, S), head, -1, S)
        minus_c = tl.sum(tl.dot(g, tl.trans(v), input_precision=S.PRECISION), 1) / -sampled
        exponents = tl.load(lse + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m)
        zeros = tl.zeros((S.BM, S.BD), tl.float32)
        states += ((origin, q, g, exponents, minus_c, tl.zeros((S.BM, 8), tl.float32), zeros, zeros),)
        origin = next_origin(origin, (first + i + 1 < windows).to(tl.int32), size, S)
    states = over_keys(gradients_of_queries, states, inputs, row, head, frame, size, factor, S)
    of_queries = tl.zeros((S.BM, S.BD), tl.float32)
    of_results = tl.zeros((16, S.BD), tl.float32)
    for i in tl.static_range(S.WINDOWS):
        origin, _, g, _, minus_c, rests, result, keys = states[i]
        window = tl.minimum(first + i, windows - 1)
        rest = tl.sum(rests, 1)
        place = place_of(m, S.FRAMES - 1 - frame, origin, size, S)
        result = (result - rest[:, None] * keys) * scale
        store_rows(grad_q, place, head, result, S.ROW, m < S.N, S)
        tl.store(delta + ((window.to(tl.int64) * S.HEADS + head) * S.FRAMES + frame) * S.NP + m, minus_c - rest)
        of_queries += tl.where(first + i < windows, result, 0.0)
        if S.SUMS == 'row':
            row = tl.where(few[:, None] == tl.where(first + i < windows, 0, -1), 1.0, 0.0)  # of ones, if it is new
            ones = tl.broadcast_to(row, (16, S.BM)).to(g.dtype)
            of_results = tl.dot(ones, g, acc=of_results, input_precision=S.PRECISION)
    if S.SUMS == 'row':
        store_sums(sums, first, windows, tl.sum(of_queries, 0), tl.sum(of_results, 0), S)
    return of_queries


@triton.jit
def store_sums(sums, first, windows, of_queries, of_results, S: tl.constexpr):
    """Store the sums (BD) of a program's gradients as the row of its first window, and zeros as those of others."""
    head, frame, block, _ = owner_of(S.NP // S.BM, S)
    d = tl.arange(0, S.BD)
    for i in tl.static_range(S.WINDOWS):
        mask = d < tl.where(first + i < windows, S.D, 0)
        at = own_sums(sums, first + i, frame, block, S.NP // S.BM, S) + head * S.D + d
        tl.store(at, of_queries, mask=mask)
        tl.store(at + S.WIDTH, tl.zeros((S.BD,), tl.float32), mask=mask)
        tl.store(at + 2 * S.WIDTH, of_results, mask=mask)
        of_queries, of_results = tl.zeros((S.BD,), tl.float32), tl.zeros((S.BD,), tl.float32)


@triton.jit
def own_sums(sums, number, frame, row, ROWS: tl.constexpr, S: tl.constexpr):
    """Return where a row of the ROWS sums of a split or window and a frame begins."""
    return sums + ((number.to(tl.int64) * S.FRAMES + frame) * ROWS + row) * (3 * S.WIDTH)


@triton.jit
def gradients_of_queries(states, start, LENGTH: tl.constexpr, inputs, row, head, frame, size, factor, S: tl.constexpr):
    """Return the states of the windows' queries after a block of keys."""
    qkv, bias, masks, more = inputs
    n = start + tl.arange(0, LENGTH)
    added = load_bias(bias, head, row, start, (S.BM, LENGTH), S)
    after = ()
    for i in tl.static_range(S.WINDOWS):
        origin, q, g, sums, minus_c, rests, result, keys = states[i]
        k, v, _ = load_keys(qkv, more, n, frame, head, origin, size, S)
        scores = tl.dot(q, tl.trans(k), acc=added, input_precision=S.PRECISION)
        scores = masked(scores, masks, row, start, origin, size, S)
        p = tl.exp2(scores * factor - sums[:, None])
        start_p = tl.broadcast_to(minus_c[:, None], (S.BM, LENGTH))
        grad_p = p * tl.dot(g, tl.trans(v), acc=start_p, input_precision=S.PRECISION)
        rests += partial_sums(grad_p)
        result = tl.dot(grad_p.to(S.ROUNDED).to(k.dtype), k, acc=result, input_precision=S.PRECISION)
        keys = tl.dot(p.to(S.ROUNDED).to(k.dtype), k, acc=keys, input_precision=S.PRECISION)
        after += ((origin, q, g, sums, minus_c, rests, result, keys),)
    return after


@triton.jit
def backward_keys_kernel(
    qkv,
    bias,
    masks,
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
    S: tl.constexpr,
):
    """Write the gradients of a block of keys and values, and sum that of the bias.

    ``bias`` and its gradient ``partial`` (splits, heads, NP, NP) have rows of keys here, not of queries. The gradient
    is not in tiles. ``sums`` begins at those of keys. Warps multiply stacks of matrices, with ``GROUP`` queries each,
    and have their own sums of gradients of keys and values: these are added once for each window.
    """
    groups: tl.constexpr = S.BM // GROUP
    steps: tl.constexpr = S.NP // S.BM
    # Rows are loaded by columns too: to transpose them, threads would exchange them once more. Padded rows, a single
    # warp and float32 have no registers left for that.
    columns: tl.constexpr = S.D == S.BD and groups > 1 and qkv.dtype.element_ty.primitive_bitwidth == 16
    size = T, H, W
    head, frame, block, split = owner_of(S.NP // S.BN, S)
    n = block * S.BN + tl.arange(0, S.BN)
    few = tl.reshape(tl.arange(0, S.BM), (groups, 1, GROUP))
    summed = ()
    if S.TRAINS_BIAS:
        for i in tl.static_range(steps):  # noqa: B007 - Triton takes every i for one variable of the loop over windows
            summed += (tl.zeros((groups, S.BN, GROUP), tl.float32),)
    of_keys = tl.zeros((S.BN, S.BD), tl.float32)
    of_values = tl.zeros((S.BN, S.BD), tl.float32)
    share = tl.cdiv(windows, splits)
    origin = origin_of(split * share, size, S)
    for window in tl.range(split * share, tl.minimum((split + 1) * share, windows), num_stages=1):
        k, v, place = load_keys(qkv, added, n, frame, head, origin, size, S)
        k = tl.broadcast_to(k[None], (groups, S.BN, S.BD))
        v = tl.broadcast_to(v[None], (groups, S.BN, S.BD))
        grad_k = tl.zeros((groups, S.BN, S.BD), tl.float32)
        grad_v = tl.zeros((groups, S.BN, S.BD), tl.float32)
        statistics = (((window + tl.zeros((), tl.int64)) * S.HEADS + head) * S.FRAMES + frame) * S.NP
        after = ()
        for i in tl.static_range(steps):
            m = i * S.BM + tl.reshape(tl.arange(0, S.BM), (groups, GROUP))
            q = load_queries(qkv, added, m, frame, head, origin, size, -1, S)
            g = load_rows(grad, place_of(m, frame, origin, size, S), head, S.OUT_ROW, m < S.N, -1, S)
            if columns:
                q_columns = load_queries(qkv, added, m, frame, head, origin, size, -2, S)
                g_columns = load_rows(grad, place_of(m, frame, origin, size, S), head, S.OUT_ROW, m < S.N, -2, S)
            else:
                q_columns, g_columns = tl.permute(q, (0, 2, 1)), tl.permute(g, (0, 2, 1))
            exponents = tl.load(lse + statistics + i * S.BM + few)
            start_p = tl.load(delta + statistics + i * S.BM + few)
            start = tl.zeros((groups, S.BN, GROUP), tl.float32)  # what keys that pad get is not stored
            if S.BIAS:
                start = load_tiles(bias + head * (S.NP * S.NP), block * S.BN, i * S.BM, start.shape, S)
            scores = tl.dot(k, q_columns, acc=start, input_precision=S.PRECISION)
            scores = masked(scores, masks, block * S.BN, i * S.BM, origin, size, S)
            p = tl.exp2(scores * factor - exponents)
            start_p = tl.broadcast_to(start_p, (groups, S.BN, GROUP))
            grad_scores = p * tl.dot(v, g_columns, acc=start_p, input_precision=S.PRECISION)
            grad_v = tl.dot(p.to(S.ROUNDED).to(g.dtype), g, acc=grad_v, input_precision=S.PRECISION)
            grad_k = tl.dot(grad_scores.to(S.ROUNDED).to(q.dtype), q, acc=grad_k, input_precision=S.PRECISION)
            if S.TRAINS_BIAS:
                after += (summed[i] + grad_scores,)
        summed = after
        own_k, own_v = sum_of_groups(grad_k) * scale, sum_of_groups(grad_v)
        store_rows(grad_kv, place, head, own_k, S.ROW, n < S.N, S)
        store_rows(grad_kv + S.WIDTH, place, head, own_v, S.ROW, n < S.N, S)
        if S.SUMS == 'rows':
            of_keys += own_k
            of_values += own_v
        origin = next_origin(origin, 1, size, S)
    if S.SUMS == 'rows':
        own = own_sums(sums, split, frame, 0, S.N, S)
        store_rows(own, n, head, of_keys, 3 * S.WIDTH, n < S.N, S)
        store_rows(own + S.WIDTH, n, head, of_values, 3 * S.WIDTH, n < S.N, S)
    if S.TRAINS_BIAS:
        own = partial + (split.to(tl.int64) * S.HEADS + head) * (S.NP * S.NP)
        for i in tl.static_range(steps):
            tl.store(own + n[None, :, None] * S.NP + few + i * S.BM, summed[i])


@triton.jit
def sum_of_groups(x):
    """Return the sum (n, d) of (groups, n, d). ``tl.sum`` would exchange more numbers between warps."""
    x = tl.permute(x, (1, 2, 0))
    for _ in tl.static_range(log2_of(x.shape[2])):
        first, second = tl.split(tl.reshape(x, (x.shape[0], x.shape[1], x.shape[2] // 2, 2)))
        x = first + second
    return tl.reshape(x, (x.shape[0], x.shape[1]))
