"""Window attention by PyTorch's FlexAttention: bias and mask are added to the scores inside its generated kernel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from vrtspike.ops.window_attention.layout import Kind
from vrtspike.ops.window_attention.sdpa import by_kinds, on_map
from vrtspike.ops.window_attention.windows import Window


def flex(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention`; on CPUs there is no backward pass."""
    return on_map(flex_in_windows, qkv, bias_table, window, shift, heads=heads, mutual=mutual, scale=scale)


def flex_in_windows(qkv: Tensor, bias: Tensor | None, kinds: Sequence[Kind], **settings) -> Tensor:
    """Compute :func:`vrtspike.ops.attend_in_windows`."""
    return by_kinds(qkv, bias, kinds, attend=_attend, **settings)


def _attend(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    def add(score: Tensor, _: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + matrix[head, query, key]

    matrix = None if added is None else added[0].expand(q.shape[1], -1, -1)
    return _kernel(q.device.type)(q, k, v, score_mod=None if added is None else add, scale=scale)


@lru_cache(maxsize=2)
def _kernel(device: str):
    """Return the generated kernel on GPUs; elsewhere PyTorch's plain definition, which needs no compiler."""
    return torch.compile(flex_attention, dynamic=True) if device == 'cuda' else flex_attention
