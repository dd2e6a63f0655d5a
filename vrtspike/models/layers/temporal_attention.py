"""Attention along time at every pixel: the parts that self-attention and cross-attention fusion share.

Shapes: B clips, C channels, T frames, H x W pixels of a map, h x w of a chunk; N = B·h·w sequences of T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.layers.checks import require_positive, require_positive_integers
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.maps import check_heads


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, T, h, w) -> (B·h·w, T, C): a copy where ``x`` has its channels outside, as convolutions leave them."""
    return x.permute(0, 3, 4, 2, 1).flatten(0, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """(B·h·w, T, C) -> (B, C, T, h, w), a view; ``like`` is the map that the tokens came from."""
    batch, _, _, height, width = like.shape
    return tokens.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)


class TemporalAttention(nn.Module):
    """Multi-head scaled dot-product attention of N sequences, without positional encoding.

    Computes what ``nn.MultiheadAttention(channels, heads, batch_first=True)`` does with its weights (the joint input
    projection being ``query`` over ``key_value``); written out because a query of one map and a context of another
    then need two matrix products rather than three.

    Args:
        channels: C, of the tokens.
        heads: Number of heads; divides ``channels``.
        dropout: Probability in [0, 1) that an attention weight is dropped in training.
        time_slope: Subtracted from the scores of the first head for every frame between query and key, and half as
            much from head to head (linear biases, arXiv 2108.12409); 0 leaves attention without a sense of time.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.slopes = [time_slope / 2**i for i in range(heads)] if time_slope else []
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Attend from ``query`` to ``context``, both (N, T, C); returns (N, T, C)."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self.encode_time(self._split_heads(self.query(query))),
            self.encode_time(self._split_heads(key)),
            self._split_heads(value),
            attn_mask=self.time_bias(query.shape[1], key),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(attended.transpose(1, 2).flatten(2))

    def encode_time(self, tokens: Tensor) -> Tensor:
        """Return queries or keys (N, heads, T, C / heads) that carry their time; here they carry none."""
        return tokens

    def time_bias(self, frames: int, like: Tensor) -> Tensor | None:
        """Return what is added to the scores, (heads, T, T), or None for nothing."""
        if not self.slopes:
            return None
        time = torch.arange(frames, device=like.device)
        distance = (time[:, None] - time).abs().to(like.dtype)
        return torch.stack([-slope * distance for slope in self.slopes])

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, C / heads), a view."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TemporalAttentionBlock(ChunkedPart):
    """Pre-norm attention along time and a pre-norm MLP; subclasses say from which maps and in which chunks.

    Chunks bound the memory and leave the result as it is, unless ``dropout`` draws its random numbers per chunk.

    Args:
        channels: C, of every map.
        heads: Attention heads; divides ``channels``.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        dropout: Probability in [0, 1) of dropout on attention weights and inside the MLP, in training.
        adaptive_chunk: This and the next three: see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
        max_batch_tokens: The most sequences in one chunk.
        chunk_size: The square root of the largest area of a chunk.
        chunk_shape: ``'square'``, ``'wide'`` or ``'tall'``.
        time_slope: How strongly attention begins at a frame's own time, see :class:`TemporalAttention`; 0 in the
            baseline.
        chunks: ``'rules'`` or ``'auto'``.

    Raises:
        ConfigError: An argument cannot work.
    """

    inputs = 1
    """Number of maps that :meth:`attend` takes; each has a norm of its own."""

    attention_type = TemporalAttention
    """The attention, built with (channels, heads, dropout, time_slope)."""

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.0,
        adaptive_chunk: bool = True,
        max_batch_tokens: int = 49152,
        chunk_size: int = 64,
        chunk_shape: str = 'square',
        time_slope: float = 0.0,
        chunks: str = 'rules',
    ) -> None:
        super().__init__(channels, chunks, adaptive_chunk, max_batch_tokens, chunk_size, chunk_shape)
        self._check_arguments(channels, heads, mlp_ratio, dropout)
        self.input_norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(self.inputs))
        self.attention = self.attention_type(channels, heads, dropout, time_slope)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = _mlp(channels, max(1, round(channels * mlp_ratio)), dropout)

    def attend(self, *tokens: Tensor) -> Tensor:
        """Normalise the tokens (N, T, C) of every map and attend from the first map to the last (N, T, C)."""
        normed = [norm(each) for norm, each in zip(self.input_norms, tokens, strict=True)]
        return self.attention(normed[0], normed[-1])

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Pre-norm MLP over the last dimension: (..., C) -> (..., C), without the residual."""
        return self.mlp(self.mlp_norm(tokens))

    def _check_arguments(self, channels: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        name = type(self).__name__
        require_positive_integers(name, channels=channels, heads=heads)
        require_positive(name, mlp_ratio=mlp_ratio)
        check_heads(name, channels, heads)
        if not 0 <= dropout < 1:
            raise ConfigError(f'{name}: dropout={dropout!r}; expected a probability in [0, 1)')


def _mlp(channels: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, channels),
        nn.Dropout(dropout),
    )
