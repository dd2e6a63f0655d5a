"""Window attention with PyTorch's FlexAttention: its generated kernel adds bias and mask to the scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from vrtspike.ops.window_attention.layout import WindowKind
from vrtspike.ops.window_attention.sdpa import attend_by_kinds
from vrtspike.ops.window_attention.windows import Settings


def flex(qkv: Tensor, bias: Tensor | None, settings: Settings, kinds: Sequence[WindowKind]) -> Tensor:
    """Attend in windows (M, N, 3*C); on CPUs there is no backward pass."""
    return attend_by_kinds(qkv, bias, settings, kinds, _attend)


def _attend(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    def add(score: Tensor, _: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + matrix[head, query, key]

    matrix = None if added is None else added[0].expand(q.shape[1], -1, -1)
    return _kernel(q.device.type)(q, k, v, score_mod=None if added is None else add, scale=scale)


@lru_cache(maxsize=2)
def _kernel(device: str):
    """Return the generated kernel on GPUs; elsewhere PyTorch's eager implementation, which needs no compiler."""
    return torch.compile(flex_attention, dynamic=True) if device == 'cuda' else flex_attention
