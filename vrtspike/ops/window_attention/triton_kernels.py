"""Triton kernels of window attention: cyclic shift, partition, bias, mask, softmax and merge in one pass over the map.

A program computes one block of queries (or keys) of one head of one window. Mutual attention works frame by frame: the
queries of the other frame attend to the keys of frame f, and the result is at frame f. Statistics (``lse``, ``delta``)
are maps (B, T, H, W, heads) of float32 at the place of the result. Only one block of scores exists at a time, in
registers.

Names: WT, WH, WW window; ST, SH, SW shift; T, H, W map; D channels per head, BD padded to a power of 2; N tokens that
attend to each other, BM and BN in one block of queries and keys.
"""

from __future__ import annotations

import triton
import triton.language as tl

# The formatter would put each of the many parameters on a line of its own.
# fmt: off


@triton.jit
def token_place(n, frame, window, T, H, W, WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr, MUTUAL: tl.constexpr):
    """Return the place in the batch's maps, the position in the window and the region of token ``n``."""
    columns, rows, times = W // WW, H // WH, T // WT
    window_w = window % columns
    window_h = (window // columns) % rows
    window_t = (window // (columns * rows)) % times
    clip = window // (columns * rows * times)
    w = n % WW
    h = (n // WW) % WH
    t = n // (WW * WH) + frame
    rolled_t, rolled_h, rolled_w = window_t * WT + t, window_h * WH + h, window_w * WW + w
    region = (rolled_h >= H - SH).to(tl.int32) * 2 + (rolled_w >= W - SW).to(tl.int32)
    if not MUTUAL:
        region += (rolled_t >= T - ST).to(tl.int32) * 4
    place = ((clip * T + (rolled_t + ST) % T) * H + (rolled_h + SH) % H) * W + (rolled_w + SW) % W
    return place.to(tl.int64), t, h, w, region


@triton.jit
def scores_of(q, k, q_t, q_h, q_w, q_region, q_inside, k_t, k_h, k_w, k_region, k_inside,
              table, head, heads, scale,
              WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
              BIAS: tl.constexpr, PRECISION: tl.constexpr):
    """Return the scores (BM, BN) of a block, with bias and mask."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    t = q_t[:, None] - k_t[None, :] + WT - 1
    h = q_h[:, None] - k_h[None, :] + WH - 1
    w = q_w[:, None] - k_w[None, :] + WW - 1
    if BIAS:
        row = (t * (2 * WH - 1) + h) * (2 * WW - 1) + w
        bias = tl.load(table + row * heads + head, mask=q_inside[:, None] & k_inside[None, :], other=0.0)
        scores += bias.to(tl.float32)
    scores += tl.where(q_region[:, None] != k_region[None, :], -100.0, 0.0)
    return tl.where(k_inside[None, :], scores, float('-inf'))


@triton.jit
def load_keys(q, q_t, q_h, q_w, q_region, q_inside, qkv, table, n, frame, window, head, T, H, W, heads, scale,
              WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
              ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
              N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
              MUTUAL: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr):
    """Return the values (BN, BD) of the keys ``n``, and the scores (BM, BN) of a block of queries with them."""
    d = tl.arange(0, BD)
    n_inside = n < N
    k_place, k_t, k_h, k_w, k_region = token_place(n, frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    at = qkv + k_place[:, None] * (3 * heads * D) + head * D + d[None, :]
    inside = n_inside[:, None] & (d < D)[None, :]
    k = tl.load(at + heads * D, mask=inside, other=0.0)
    v = tl.load(at + 2 * heads * D, mask=inside, other=0.0)
    scores = scores_of(q, k, q_t, q_h, q_w, q_region, q_inside, k_t, k_h, k_w, k_region, n_inside,
                       table, head, heads, scale, WT, WH, WW, BIAS, PRECISION)
    return v, scores


@triton.jit
def forward_kernel(qkv, table, out, lse, T, H, W, heads, scale,
                   WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                   ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                   N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                   FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr,
                   PRECISION: tl.constexpr):
    block, window, head_frame = tl.program_id(1), tl.program_id(0), tl.program_id(2)
    head, frame = head_frame // FRAMES, head_frame % FRAMES
    d = tl.arange(0, BD)
    d_inside = d < D
    m = block * BM + tl.arange(0, BM)
    m_inside = m < N
    q_place, q_t, q_h, q_w, q_region = token_place(
        m, FRAMES - 1 - frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    o_place, _, _, _, _ = token_place(m, frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    width = heads * D
    q = tl.load(qkv + q_place[:, None] * (3 * width) + head * D + d[None, :],
                mask=m_inside[:, None] & d_inside[None, :], other=0.0)
    highest = tl.full((BM,), float('-inf'), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    result = tl.zeros((BM, BD), tl.float32)
    for start in range(0, N, BN):
        v, scores = load_keys(q, q_t, q_h, q_w, q_region, m_inside, qkv, table, start + tl.arange(0, BN), frame, window,
                              head, T, H, W, heads, scale, WT, WH, WW, ST, SH, SW, N, D, BD, MUTUAL, BIAS, PRECISION)
        new_highest = tl.maximum(highest, tl.max(scores, 1))
        shrink = tl.exp(highest - new_highest)
        p = tl.exp(scores - new_highest[:, None])
        total = total * shrink + tl.sum(p, 1)
        result = result * shrink[:, None] + tl.dot(p.to(v.dtype), v, input_precision=PRECISION)
        highest = new_highest
    result = result / total[:, None]
    tl.store(out + o_place[:, None] * width + head * D + d[None, :], result.to(out.dtype.element_ty),
             mask=m_inside[:, None] & d_inside[None, :])
    tl.store(lse + o_place * heads + head, highest + tl.log(total), mask=m_inside)


@triton.jit
def mean_gradient_kernel(qkv, table, grad, lse, delta, T, H, W, heads, scale,
                         WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                         ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                         N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                         FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr,
                         PRECISION: tl.constexpr):
    """Write the mean gradient of a block of queries, from their probabilities.

    Usually it is computed from the result of the forward pass. If that result is rounded to 16 bits, all gradients of a
    query are shifted, which harms training.
    """
    block, window, head_frame = tl.program_id(1), tl.program_id(0), tl.program_id(2)
    head, frame = head_frame // FRAMES, head_frame % FRAMES
    d = tl.arange(0, BD)
    d_inside = d < D
    width = heads * D
    m = block * BM + tl.arange(0, BM)
    m_inside = m < N
    q_place, q_t, q_h, q_w, q_region = token_place(
        m, FRAMES - 1 - frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    o_place, _, _, _, _ = token_place(m, frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    q_mask = m_inside[:, None] & d_inside[None, :]
    q = tl.load(qkv + q_place[:, None] * (3 * width) + head * D + d[None, :], mask=q_mask, other=0.0)
    g = tl.load(grad + o_place[:, None] * width + head * D + d[None, :], mask=q_mask, other=0.0)
    row_lse = tl.load(lse + o_place * heads + head, mask=m_inside, other=float('inf'))
    mean = tl.zeros((BM,), tl.float32)
    for start in range(0, N, BN):
        v, scores = load_keys(q, q_t, q_h, q_w, q_region, m_inside, qkv, table, start + tl.arange(0, BN), frame, window,
                              head, T, H, W, heads, scale, WT, WH, WW, ST, SH, SW, N, D, BD, MUTUAL, BIAS, PRECISION)
        p = tl.exp(scores - row_lse[:, None])
        mean += tl.sum(p * tl.dot(g, tl.trans(v), input_precision=PRECISION), 1)
    tl.store(delta + o_place * heads + head, mean, mask=m_inside)


@triton.jit
def scores_backward(m, n, frame, window, head, qkv, table, grad, lse, delta, T, H, W, heads, scale,
                    WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                    N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
                    FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr):
    """Return a block's queries, keys, output gradients and probabilities, and the gradient (float32) of its scores."""
    d = tl.arange(0, BD)
    d_inside = d < D
    width = heads * D
    q_inside, k_inside = m < N, n < N
    q_place, q_t, q_h, q_w, q_region = token_place(
        m, FRAMES - 1 - frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    o_place, _, _, _, _ = token_place(m, frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    k_place, k_t, k_h, k_w, k_region = token_place(
        n, frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    q_mask, k_mask = q_inside[:, None] & d_inside[None, :], k_inside[:, None] & d_inside[None, :]
    q = tl.load(qkv + q_place[:, None] * (3 * width) + head * D + d[None, :], mask=q_mask, other=0.0)
    k = tl.load(qkv + k_place[:, None] * (3 * width) + width + head * D + d[None, :], mask=k_mask, other=0.0)
    v = tl.load(qkv + k_place[:, None] * (3 * width) + 2 * width + head * D + d[None, :], mask=k_mask, other=0.0)
    g = tl.load(grad + o_place[:, None] * width + head * D + d[None, :], mask=q_mask, other=0.0)
    row_lse = tl.load(lse + o_place * heads + head, mask=q_inside, other=float('inf'))
    row_delta = tl.load(delta + o_place * heads + head, mask=q_inside, other=0.0)
    scores = scores_of(q, k, q_t, q_h, q_w, q_region, q_inside, k_t, k_h, k_w, k_region, k_inside,
                       table, head, heads, scale, WT, WH, WW, BIAS, PRECISION)
    p = tl.exp(scores - row_lse[:, None])
    return q, k, g, p, p * (tl.dot(g, tl.trans(v), input_precision=PRECISION) - row_delta[:, None])


@triton.jit
def backward_kernel(qkv, table, grad, lse, delta, grad_qkv, T, H, W, heads, scale,
                    WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                    ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                    N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                    FRAMES: tl.constexpr, MUTUAL: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr,
                    QUERIES: tl.constexpr):
    """Write the gradient of a block of queries, or without QUERIES of a block of keys and values."""
    block, window, head_frame = tl.program_id(1), tl.program_id(0), tl.program_id(2)
    head, frame = head_frame // FRAMES, head_frame % FRAMES
    d = tl.arange(0, BD)
    d_inside = d < D
    width = heads * D
    own_length: tl.constexpr = BM if QUERIES else BN
    other_length: tl.constexpr = BN if QUERIES else BM
    own = block * own_length + tl.arange(0, own_length)
    first = tl.zeros((own_length, BD), tl.float32)
    second = tl.zeros((own_length, BD), tl.float32)
    for start in range(0, N, other_length):
        other = start + tl.arange(0, other_length)
        m, n = (own, other) if QUERIES else (other, own)
        q, k, g, p, grad_scores = scores_backward(
            m, n, frame, window, head, qkv, table, grad, lse, delta, T, H, W, heads, scale,
            WT, WH, WW, ST, SH, SW, N, D, BD, FRAMES, MUTUAL, BIAS, PRECISION)
        grad_scores = grad_scores.to(q.dtype)
        if QUERIES:
            first += tl.dot(grad_scores, k, input_precision=PRECISION) * scale
        else:
            first += tl.dot(tl.trans(grad_scores), q, input_precision=PRECISION) * scale
            second += tl.dot(tl.trans(p.to(g.dtype)), g, input_precision=PRECISION)
    own_frame = FRAMES - 1 - frame if QUERIES else frame
    place, _, _, _, _ = token_place(own, own_frame, window, T, H, W, WT, WH, WW, ST, SH, SW, MUTUAL)
    mask = (own < N)[:, None] & d_inside[None, :]
    target = grad_qkv + place[:, None] * (3 * width) + head * D + d[None, :]
    if QUERIES:
        tl.store(target, first.to(grad_qkv.dtype.element_ty), mask=mask)
    else:
        tl.store(target + width, first.to(grad_qkv.dtype.element_ty), mask=mask)
        tl.store(target + 2 * width, second.to(grad_qkv.dtype.element_ty), mask=mask)


@triton.jit
def bias_gradient_kernel(qkv, table, grad, lse, delta, partial, windows, T, H, W, heads, scale,
                         WT: tl.constexpr, WH: tl.constexpr, WW: tl.constexpr,
                         ST: tl.constexpr, SH: tl.constexpr, SW: tl.constexpr,
                         N: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
                         SPLITS: tl.constexpr, PRECISION: tl.constexpr):
    """Sum the gradient of a block of scores over every SPLITS-th window: partial (SPLITS, heads, N, N)."""
    blocks: tl.constexpr = (N + BN - 1) // BN
    m = (tl.program_id(0) // blocks) * BM + tl.arange(0, BM)
    n = (tl.program_id(0) % blocks) * BN + tl.arange(0, BN)
    head, split = tl.program_id(1), tl.program_id(2)
    summed = tl.zeros((BM, BN), tl.float32)
    for window in range(split, windows, SPLITS):
        _, _, _, _, grad_scores = scores_backward(
            m, n, 0, window, head, qkv, table, grad, lse, delta, T, H, W, heads, scale,
            WT, WH, WW, ST, SH, SW, N, D, BD, 1, False, True, PRECISION)
        summed += grad_scores
    at = partial + ((split * heads + head) * N + m[:, None]) * N + n[None, :]
    tl.store(at, summed, mask=(m < N)[:, None] & (n < N)[None, :])
