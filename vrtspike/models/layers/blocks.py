"""Residual blocks: VRT's attention blocks and groups of them (arXiv 2201.12288), and convolutional blocks.

Shapes: attention blocks take maps (B, T, H, W, C), channels last; convolutional ones (B, C, T, H, W) or (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vrtspike.models.layers.attention import WindowAttention
from vrtspike.models.layers.cast_weights import Call, cast_together
from vrtspike.models.layers.conv import Conv3d
from vrtspike.models.layers.drop_path import Branch, DropPath
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import TokenNorm
from vrtspike.models.layers.mlp import GatedMLP, feed_forward
from vrtspike.ops.chunks import add_to_rows
from vrtspike.ops.residual import plus
from vrtspike.ops.window_attention.windows import Window
from vrtspike.profiling import part
from vrtspike.runtime.device import fuses_by_hand


class AttentionBlock(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        channels: C.
        heads: Attention heads, a divisor of C.
        window: Window (t, h, w) in tokens.
        shift: Cyclic shift of the windows (t, h, w).
        mutual: Whether the two frames of a window also attend to each other.
        mlp_ratio: Hidden channels of the MLP per channel.
        drop_path: Probability of dropping each branch in training.
        checkpoint_attn: Recompute the attention in the backward pass instead of saving its activations.
        checkpoint_ffn: The same for the MLP.
        **attention: ``qkv_bias``, ``qk_scale`` and ``attn_type`` of :class:`WindowAttention`.
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
        drop_path: float = 0.0,
        checkpoint_attn: bool = False,
        checkpoint_ffn: bool = False,
        **attention,
    ) -> None:
        super().__init__()
        self.shift = shift
        self.checkpoint_attn = checkpoint_attn
        self.checkpoint_ffn = checkpoint_ffn
        self.norm1 = TokenNorm(channels)
        self.attn = WindowAttention(channels, window, heads, mutual=mutual, **attention)
        self.drop_path = DropPath(drop_path)
        self.norm2 = TokenNorm(channels)
        self.mlp = GatedMLP(channels, int(channels * mlp_ratio))
        self.compiled = False
        """Whether attention and MLP are compiled: their graphs add nothing, and decide by themselves about chunks."""

    def forward(self, x: Tensor) -> Tensor:
        kept = [None, None]
        if self.norms_in_sum(x):
            kept = [self.drop_path.draw(x) for _ in kept]
            if all(len(samples) == len(x) for samples in kept):
                return self.undivided(x, self.drop_path.factor)
        attention, mlp = self.branches(x)
        attention = partial(self.run, attention, recompute=self.checkpoint_attn)
        mlp = partial(self.run, mlp, recompute=self.checkpoint_ffn)
        x = self.drop_path(x, attention, parameters(self.norm1, self.attn), kept[0])
        return self.drop_path(x, mlp, parameters(self.norm2, self.mlp), kept[1])

    def norms_in_sum(self, x: Tensor) -> bool:
        """Whether the kernel that adds the attention may normalise the sum for the MLP: on GPUs, nothing recomputed."""
        recomputes = torch.is_grad_enabled() and (self.checkpoint_attn or self.checkpoint_ffn)
        return fuses_by_hand(x) and not self.compiled and not recomputes

    def undivided(self, x: Tensor, added_by: float) -> Tensor:
        """Compute the block where all samples keep both branches, with the factor ``added_by``."""
        attn, mlp = cast_together(x, self.attn, self.mlp)
        with part('attention') as p:
            results = attn(p.enter(x), self.shift, self.norm1.beside, added_by, self.norm2.after_sum)
            x, normalised = (p.leave(each) for each in results)
        with part('mlp') as p:
            return p.leave(mlp(p.enter(normalised), p.enter(x), added_by))

    def branches(self, x: Tensor) -> tuple[Branch, Branch]:
        """Return the attention and the MLP for maps on the device of ``x``, both with their norm."""
        attn, mlp = cast_together(x, self.attn, self.mlp)
        return partial(self.attention_branch, attn), partial(self.mlp_branch, mlp)

    def attention_branch(self, attn: Call, x: Tensor, added_by: float | None = None) -> Tensor:
        with part('attention') as p:
            x = p.enter(x)
            if self.compiled:
                return p.leave(plus(x, attn(x, self.shift, self.norm1.beside), added_by))
            return p.leave(attn(x, self.shift, self.norm1.beside, added_by))

    def mlp_branch(self, mlp: Call, x: Tensor, added_by: float | None = None) -> Tensor:
        def beside(rows: Tensor) -> tuple[Tensor, Tensor]:
            rows, normalised = self.norm2.beside(rows)
            return rows, mlp(normalised)

        with part('mlp') as p:
            x = p.enter(x)
            if self.compiled or added_by is None:
                return p.leave(plus(*beside(x), added_by))
            if fuses_by_hand(x):
                x, normalised = self.norm2.beside(x)
                return p.leave(mlp(normalised, x, added_by))
            return p.leave(add_to_rows(beside, x, added_by))

    def run(self, branch: Branch, x: Tensor, added_by: float | None, *, recompute: bool) -> Tensor:
        """Run a branch; with ``recompute`` only its input is saved for the backward pass."""
        if recompute and torch.is_grad_enabled():
            return checkpoint(branch, x, added_by, use_reentrant=False)
        return branch(x, added_by)


def parameters(*modules: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of all modules."""
    for module in modules:
        yield from module.parameters()


class AttentionGroup(nn.Module):
    """A sequence of blocks; every second one shifts its windows by half their size.

    Args:
        depth: Number of blocks; may be 0.
        drop_paths: One rate per block.
        window: Window (t, h, w) in tokens.
        **block: The other arguments of :class:`AttentionBlock`.
    """

    def __init__(self, depth: int, *, window: Window, drop_paths: Sequence[float], **block) -> None:
        super().__init__()
        half = tuple(length // 2 for length in window)
        self.blocks = nn.ModuleList(
            AttentionBlock(window=window, shift=half if i % 2 else (0, 0, 0), drop_path=drop_paths[i], **block)
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        # Where the caller uses x again, three gradients add up. Through a view of its own, the group's are added first,
        # as they are where markers of parts stand between: observed or not, the sum is the same to the last bit.
        x = x.view_as(x)
        for block in self.blocks:
            x = block(x)
        return x


class ResidualAttentionGroup(nn.Module):
    """``x + linear(residual_group(x))``: one group of stage 8, without mutual attention.

    Args:
        channels: C.
        **group: The other arguments of :class:`AttentionGroup`.
    """

    def __init__(self, channels: int, **group) -> None:
        super().__init__()
        self.residual_group = AttentionGroup(channels=channels, mutual=False, **group)
        self.linear = Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.residual_group(x), residual=x)


class ConvBlock(nn.Module):
    """x + W2 GELU(W1 LN(DW(x))), with DW a depthwise convolution over space and time (ConvNeXt, arXiv 2201.03545).

    Args:
        channels: C.
        kernel: (t, h, w) of DW, odd.
        mlp_ratio: Hidden channels over ``channels``.
    """

    def __init__(self, channels: int, kernel: tuple[int, int, int] = (3, 3, 3), mlp_ratio: float = 2.0) -> None:
        super().__init__()
        padding = tuple(length // 2 for length in kernel)
        self.depthwise = Conv3d(channels, channels, kernel, padding=padding, groups=channels)
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> the same shape."""
        return x + self.mlp(self.depthwise(x))


class FrameBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` on frames (N, C, H, W): 3x3 convolutions, no norm (EDSR, arXiv 1707.02921)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))
