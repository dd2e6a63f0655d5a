"""Attention blocks and the groups that stages are made of (VRT, arXiv 2201.12288).

Shapes: maps are (B, T, H, W, C), channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vrtspike.models.layers.attention import WindowAttention
from vrtspike.models.layers.drop_path import DropPath
from vrtspike.models.layers.mlp import GatedMLP
from vrtspike.ops.window_attention.windows import Window
from vrtspike.profiling import part


class AttentionBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        channels: C.
        heads: Attention heads, a divisor of C.
        window: Window (t, h, w) in tokens.
        shift: Cyclic shift of the windows (t, h, w).
        mutual: Whether the two frames of a window also attend to each other.
        mlp_ratio: Hidden channels of the MLP per channel.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor on the attention scores; None is 1/sqrt(C/heads).
        drop_path: Probability of dropping each branch while training.
        checkpoint_attn: Recompute the attention in the backward pass instead of keeping it.
        checkpoint_ffn: Likewise the MLP.
        attn_type: Backend of the attention; see :class:`WindowAttention`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: Window,
        shift: Window,
        *,
        mutual: bool,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path: float = 0.0,
        checkpoint_attn: bool = False,
        checkpoint_ffn: bool = False,
        attn_type: str = 'auto',
    ) -> None:
        super().__init__()
        self.shift = shift
        self.checkpoint_attn = checkpoint_attn
        self.checkpoint_ffn = checkpoint_ffn
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(
            channels, window, heads, mutual=mutual, qkv_bias=qkv_bias, qk_scale=qk_scale, attn_type=attn_type
        )
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = GatedMLP(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        attention = partial(self.run, self.attention_branch, recompute=self.checkpoint_attn)
        mlp = partial(self.run, self.mlp_branch, recompute=self.checkpoint_ffn)
        x = self.drop_path(x, attention, parameters(self.norm1, self.attn))
        return self.drop_path(x, mlp, parameters(self.norm2, self.mlp))

    def attention_branch(self, x: Tensor) -> Tensor:
        with part('attention') as p:
            return p.leave(self.attn(self.norm1(p.enter(x)), self.shift))

    def mlp_branch(self, x: Tensor) -> Tensor:
        with part('mlp') as p:
            return p.leave(self.mlp(self.norm2(p.enter(x))))

    def run(self, branch: Callable[[Tensor], Tensor], x: Tensor, recompute: bool) -> Tensor:
        """Run a branch, keeping only its input for the backward pass where it is to be recomputed."""
        if recompute and torch.is_grad_enabled():
            return checkpoint(branch, x, use_reentrant=False)
        return branch(x)


def parameters(*modules: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of some modules."""
    for module in modules:
        yield from module.parameters()


class AttentionGroup(nn.Module):
    """A sequence of blocks, every second one with windows shifted by half.

    Args:
        depth: Number of blocks; may be 0.
        drop_paths: One rate per block.
        window: Window (t, h, w) in tokens.
        **block: What :class:`AttentionBlock` takes besides.
    """

    def __init__(self, depth: int, *, window: Window, drop_paths: Sequence[float], **block) -> None:
        super().__init__()
        half = tuple(length // 2 for length in window)
        self.blocks = nn.ModuleList(
            AttentionBlock(window=window, shift=half if i % 2 else (0, 0, 0), drop_path=drop_paths[i], **block)
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class ResidualAttentionGroup(nn.Module):
    """``x + linear(residual_group(x))``: one group of stage 8, of self-attention alone.

    Args:
        channels: C.
        **group: What :class:`AttentionGroup` takes besides.
    """

    def __init__(self, channels: int, **group) -> None:
        super().__init__()
        self.residual_group = AttentionGroup(channels=channels, mutual=False, **group)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(self.residual_group(x))
