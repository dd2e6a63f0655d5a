"""Bias and masks as the Triton kernels of window attention read them: padded, divided by the scale, and in tiles.

A thread of NVIDIA's tensor cores holds four numbers of a product's tile of 16 x 8, and these are not neighbours. In
tiles they are, so that the bias needs neither an exchange between threads nor more loads than a vector of four.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.window_attention.tilings import padded
from vrtspike.ops.window_attention.windows import (
    MASKED,
    Settings,
    Window,
    cached,
    index_by_key,
    relative_position_index,
    window_regions,
)


def in_tiles(x: Tensor) -> Tensor:
    """Return matrices (..., R, C) in tiles (..., R/16, C/8, 8, 4, 2, 2).

    The last axes of a tile are row % 8, column // 2, row // 8 and column % 2, as tensor cores divide it.
    """
    apart = x.unflatten(-1, (-1, 4, 2)).unflatten(-4, (-1, 2, 8))  # (..., R/16, 2, 8, C/8, 4, 2)
    return apart.movedim((-3, -2, -5), (-5, -3, -2)).contiguous()


def transposed(tiles: Tensor) -> Tensor:
    """Return the tiles (K, C/16, R/8, 8, 4, 2, 2) of the transposed matrices of K in tiles, with one copy."""
    apart = tiles.unflatten(3, (4, 2)).unflatten(2, (-1, 2))  # (K, R/16, C/16, 2, 4, 2, 4, 2, 2)
    order = apart.permute(0, 2, 1, 7, 6, 8, 4, 3, 5).contiguous()
    return order.flatten(4, 5).flatten(2, 3)


def padded_bias(table: Tensor, settings: Settings) -> Tensor:
    """Return the bias (heads, NP queries, NP keys) in tiles; it is -inf for keys that pad."""
    numbers, tokens = table.flatten().float() / settings.scale, math.prod(settings.window)
    if padded(tokens) > tokens:
        numbers = torch.cat((numbers, _fillers(table.device)))
    return numbers[_bias_index(settings.window, table.shape[1], table.device)]


def table_gradient(grad: Tensor, window: Window) -> Tensor:
    """Return the gradient of the bias table by one scatter of rows, from that of scores (heads, keys, queries)."""
    tokens = math.prod(window)
    by_pair = grad[:, :tokens, :tokens].permute(1, 2, 0).flatten(0, 1)
    rows = math.prod(2 * length - 1 for length in window)
    return grad.new_zeros((rows, len(grad))).index_add_(0, index_by_key(window, grad.device), by_pair)


@cached
def masks(settings: Settings, device: torch.device) -> Tensor:
    """Return the masks (kinds, NP, NP) in tiles, of windows with two regions along none, some or all axes.

    The number of a kind is the sum of 1 if columns have two regions, 2 if rows do, and 4 if frames do.
    """
    shift = (0 if settings.mutual else settings.shift[0], *settings.shift[1:])
    kinds = itertools.product((False, True) if shift[0] else (False,), (False, True), (False, True))
    regions = torch.stack([window_regions(mixed, settings.group, shift, device) for mixed in kinds])
    found = (regions[:, :, None] != regions[:, None, :]) * (MASKED / settings.scale)
    missing = padded(regions.shape[1]) - regions.shape[1]
    return in_tiles(F.pad(found, (0, missing, 0, missing)))


@cached
def _bias_index(window: Window, heads: int, device: torch.device) -> Tensor:
    """Return where the padded bias finds its numbers: in the table's, or after them in the fillers."""
    index = relative_position_index(window, device)
    index_of_heads = index * heads + torch.arange(heads, device=device)[:, None, None]
    missing, end = padded(len(index)) - len(index), math.prod(2 * length - 1 for length in window) * heads
    return in_tiles(F.pad(F.pad(index_of_heads, (0, missing), value=end), (0, 0, 0, missing), value=end + 1))


@cached
def _fillers(device: torch.device) -> Tensor:
    """Return the bias of a key that pads, and that of a query that pads."""
    return torch.tensor([-math.inf, 0.0], device=device)
