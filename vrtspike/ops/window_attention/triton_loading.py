"""What the Triton kernels of window attention share: where tokens are in a map, and what is loaded for them.

The names are those of ``triton_kernels.py``. ``origin`` is a clip and the place of a window's first token.
"""

from __future__ import annotations

import triton
import triton.language as tl


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
def next_origin(origin, step, size, S: tl.constexpr):
    """Return the origin of the window that is ``step`` after the one at ``origin``, 0 or 1, without a division."""
    T, H, W = size
    clip, t, h, w = origin
    w += step * S.WW
    ends = w >= W + S.SW
    w, h = tl.where(ends, S.SW, w), h + tl.where(ends, S.WH, 0)
    ends = h >= H + S.SH
    h, t = tl.where(ends, S.SH, h), t + tl.where(ends, S.WT, 0)
    ends = t >= T + S.ST
    return clip + ends.to(tl.int32), tl.where(ends, S.ST, t), h, w


@triton.jit
def place_of(n, frame, origin, size, S: tl.constexpr):
    """Return the places of tokens ``n`` of a window in the batch's maps."""
    T, H, W = size
    clip, first_t, first_h, first_w = origin
    t, h, w = n // (S.WW * S.WH) + frame, n // S.WW % S.WH, n % S.WW
    place = ((clip * T + first_t) * H + first_h) * W + first_w + ((t * H + h) * W + w)
    if S.SW > 0:
        place -= tl.where(first_w + w >= W, W, 0)
    if S.SH > 0:
        place -= tl.where(first_h + h >= H, H * W, 0)
    if S.ST > 0:
        place -= tl.where(first_t + t >= T, T * H * W, 0)
    return place.to(tl.int64)


@triton.jit
def kind_of(origin, size, S: tl.constexpr):
    """Return the number of a window's mask: the axes along which the cyclic shift has made parts of it neighbours."""
    T, H, W = size
    _, first_t, first_h, first_w = origin
    kind = (first_w + S.WW > W).to(tl.int32) + (first_h + S.WH > H).to(tl.int32) * 2
    if not S.MUTUAL:
        kind += (first_t + S.WT > T).to(tl.int32) * 4
    return kind


@triton.jit
def row_pointers(pointer, place, head, LENGTH: tl.constexpr, inside, AXIS: tl.constexpr, S: tl.constexpr):
    """Return pointers to rows of one head in a map with rows of LENGTH elements, and which do not pad.

    AXIS is that of the channels: -1 for rows (n, BD), -2 for columns (BD, n).
    """
    d = tl.expand_dims(tl.arange(0, S.BD), -3 - AXIS)
    mask = tl.expand_dims(inside, AXIS)
    if S.D < S.BD:
        mask = mask & (d < S.D)
    return pointer + tl.expand_dims(place, AXIS) * LENGTH + (head * S.D + d), mask


@triton.jit
def load_rows(pointer, place, head, LENGTH: tl.constexpr, inside, AXIS: tl.constexpr, S: tl.constexpr):
    """Return rows of one head from a map with rows of LENGTH elements, channels along AXIS; zero if not ``inside``."""
    at, mask = row_pointers(pointer, place, head, LENGTH, inside, AXIS, S)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def store_rows(pointer, place, head, rows, LENGTH: tl.constexpr, inside, S: tl.constexpr):
    """Store rows (n, BD) of one head to a map with rows of LENGTH elements, where ``inside``."""
    at, mask = row_pointers(pointer, place, head, LENGTH, inside, -1, S)
    tl.store(at, rows.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def owned_queries(S: tl.constexpr):
    """Return the head, the frame, the first query and the first window that a program owns."""
    head, frame, block, number = owner_of(S.NP // S.BM, S)
    return head, frame, block * S.BM, number * S.WINDOWS


@triton.jit
def load_sum(qkv, added, FIRST: tl.constexpr, n, place, head, AXIS: tl.constexpr, S: tl.constexpr):
    """Return queries, keys or values, which begin at channel FIRST, plus what is added to tokens ``n``."""
    rows = load_rows(qkv + FIRST, place, head, S.ROW, n < S.N, AXIS, S)
    if S.SUMS == 'rows':
        more = load_rows(added + FIRST, n, head, 3 * S.WIDTH, n < S.N, AXIS, S)
        rows = (rows.to(tl.float32) + more.to(tl.float32)).to(rows.dtype)
    return rows


@triton.jit
def load_queries(qkv, added, m, frame, head, origin, size, AXIS: tl.constexpr, S: tl.constexpr):
    """Return the queries of tokens ``m`` of a window whose result is at a frame."""
    place = place_of(m, S.FRAMES - 1 - frame, origin, size, S)
    return load_sum(qkv, added, 0, m, place, head, AXIS, S)


@triton.jit
def load_keys(qkv, added, n, frame, head, origin, size, S: tl.constexpr):
    """Return keys and values (n, BD) of tokens ``n`` of a window, and their places."""
    place = place_of(n, frame, origin, size, S)
    k = load_sum(qkv, added, S.WIDTH, n, place, head, -1, S)
    v = load_sum(qkv, added, 2 * S.WIDTH, n, place, head, -1, S)
    return k, v, place


@triton.jit
def load_tiles(matrix, row, column, SHAPE: tl.constexpr, S: tl.constexpr):
    """Return a block (rows, columns) of a matrix in tiles, or neighbouring ones (groups, rows, columns).

    A thread loads the numbers that it needs where a product is added to them: none are exchanged.
    """
    GROUPS: tl.constexpr = SHAPE[0] if len(SHAPE) == 3 else 1
    ROWS: tl.constexpr = SHAPE[len(SHAPE) - 2] // 16
    COLUMNS: tl.constexpr = SHAPE[len(SHAPE) - 1] // 8
    columns = tl.arange(0, GROUPS)[None, :, None, None] * COLUMNS + tl.arange(0, COLUMNS)[:, None, None, None]
    tiles = tl.arange(0, ROWS)[None, None, :, None] * (S.NP // 8) + columns
    first = matrix + (row // 16 * (S.NP // 8) + column // 8) * 128
    x = tl.reshape(tl.load(first + (tiles * 128 + tl.arange(0, 128))), (COLUMNS, GROUPS, ROWS, 8, 4, 2, 2))
    return tl.reshape(tl.permute(x, (1, 2, 5, 3, 0, 4, 6)), SHAPE)


@triton.jit
def load_bias(bias, head, row, column, SHAPE: tl.constexpr, S: tl.constexpr):
    """Return the bias of queries from ``row`` on and keys from ``column`` on; without one, keys that pad are masked."""
    if S.BIAS:
        return load_tiles(bias + head * (S.NP * S.NP), row, column, SHAPE, S)
    n = column + tl.arange(0, SHAPE[1])
    return tl.where(n < S.N, 0.0, float('-inf'))[None, :] + tl.zeros((SHAPE[0], 1), tl.float32)


@triton.jit
def masked(scores, masks, row, column, origin, size, S: tl.constexpr):
    """Return scores from ``row`` and ``column`` on with the mask of the window's kind; most windows have none."""
    if S.SHIFTED:  # known when the kernel is compiled
        kind = kind_of(origin, size, S)
        if kind > 0:
            scores += load_tiles(masks + kind * (S.NP * S.NP), row, column, scores.shape, S)
    return scores
