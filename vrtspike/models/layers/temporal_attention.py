"""Attention along time at every pixel, with and without time encoding; shared by TSA variants and fusion heads.

Shapes: B clips, C channels, T frames, H x W pixels of a map, h x w of a chunk; N = B·h·w sequences of T tokens; D
channels per head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive, require_positive_integers
from vrtspike.models.layers.checks import check_heads
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import TokenNorm
from vrtspike.native.build import Kernel
from vrtspike.ops import window_attention
from vrtspike.ops.fused_attention import fused_attention
from vrtspike.ops.window_attention import native

MAX_DISTANCE = 16
"""All larger distances in frames share the bias of this one."""

BASE = 100.0
"""Wavelengths of rotary encoding grow from 2*pi frames to 2*pi*BASE: clips have few frames."""


class TemporalAttention(nn.Module):
    """Multi-head scaled dot-product attention of N sequences, without positional encoding.

    It computes the same as ``nn.MultiheadAttention(channels, heads, batch_first=True)`` with ``query`` stacked on
    ``key_value`` as its input projection. It is written out because, if query and context come from different maps, it
    needs two matrix products instead of three.

    Args:
        channels: C, of the tokens.
        heads: Number of heads; divides ``channels``.
        dropout: Probability in [0, 1) that an attention weight is dropped in training.
        time_slope: Subtracted from the scores of the first head for every frame between query and key; each further
            head subtracts half as much (linear biases, arXiv 2108.12409). With 0, attention does not depend on time.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.slopes = [time_slope / 2**i for i in range(heads)] if time_slope else []
        self.query = Linear(channels, channels)
        self.key_value = Linear(channels, 2 * channels)
        self.out = Linear(channels, channels)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that the CPU needs, so that they can be compiled beforehand."""
        return native.kernels_for(self.out.in_features // self.heads)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Attend from ``query`` to ``context``, both (N, T, C); returns (N, T, C)."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        query, key, value = (self._split_heads(each) for each in (self.query(query), key, value))
        heads = self.encode_time(query), self.encode_time(key), value
        dropout = self.dropout if self.training else 0.0
        on_cpu = query.device.type == 'cpu' and not dropout
        attended = self._attend_in_windows(*heads) if on_cpu else self._attend(*heads, dropout)
        return self.out(attended)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        bias = None
        if self.knows_time:
            time = torch.arange(query.shape[2], device=query.device)
            bias = self.time_bias(time - time[:, None]).to(key.dtype)
        return self._join_heads(fused_attention(query, key, value, bias, dropout=dropout))

    def _attend_in_windows(self, *heads: Tensor) -> Tensor:
        """The same on CPUs, where PyTorch's kernel is slow for few tokens: the frames of a pixel are a window."""
        frames = heads[0].shape[2]
        bias = self.time_bias(torch.arange(frames - 1, -frames, -1)).t() if self.knows_time else None
        attended = window_attention(
            torch.cat([self._join_heads(each) for each in heads], dim=-1)[:, :, None, None],
            bias,
            window=(frames, 1, 1),
            shift=(0, 0, 0),
            heads=self.heads,
            mutual=False,
        )
        return attended[:, :, 0, 0]

    def encode_time(self, tokens: Tensor) -> Tensor:
        """Return queries or keys (N, heads, T, C / heads) with their time encoded; this class does not encode it."""
        return tokens

    @property
    def knows_time(self) -> bool:
        """Whether scores depend on the time between query and key by :meth:`time_bias`."""
        return bool(self.slopes)

    def time_bias(self, distance: Tensor) -> Tensor:
        """Return what is added to the scores of queries and keys, (heads, ...).

        Args:
            distance: Frames from query to key, of any shape.
        """
        distance = distance.abs()
        return torch.stack([-slope * distance for slope in self.slopes])

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, heads, T, C / heads), a view."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _join_heads(self, tokens: Tensor) -> Tensor:
        """(N, heads, T, C / heads) -> (N, T, C), a view where the heads of a token are neighbours in memory."""
        return tokens.transpose(1, 2).flatten(2)


class RotaryTemporalAttention(TemporalAttention):
    """Temporal attention with queries and keys rotated by their time (RoFormer, arXiv 2104.09864).

    With R_t the rotation of channel pairs (2i, 2i+1) by t * BASE^(-2i/D), the score of frames s and t is
    (R_s q_s)·(R_t k_t) = q_s R_(t-s) k_t: it depends on their distance alone, in both directions.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__(channels, heads, dropout, time_slope)
        if channels // heads % 2:
            raise ConfigError(
                f'rotary encoding rotates pairs of channels, but channels={channels} and heads={heads} make '
                f'{channels // heads} channels per head; choose another number of heads'
            )

    def encode_time(self, tokens: Tensor) -> Tensor:
        """Return queries or keys (N, heads, T, D) rotated by their time."""
        frames, width = tokens.shape[-2:]
        frequency = BASE ** (-torch.arange(0, width, 2, device=tokens.device) / width)
        angle = torch.arange(frames, device=tokens.device)[:, None] * frequency
        cos, sin = angle.cos().to(tokens.dtype), angle.sin().to(tokens.dtype)
        even, odd = tokens[..., 0::2], tokens[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class RelativeTemporalAttention(TemporalAttention):
    """Temporal attention with a learnt bias per head and distance in frames (arXiv 1910.10683).

    b[head, t - s] is added to the score of frames s and t. b begins at zero: attention then does not depend on time.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__(channels, heads, dropout, time_slope)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * MAX_DISTANCE + 1))

    @property
    def knows_time(self) -> bool:
        """Always: the bias is learnt."""
        return True

    def time_bias(self, distance: Tensor) -> Tensor:
        """Return what is added to the scores of queries and keys, see :meth:`TemporalAttention.time_bias`."""
        learnt = self.bias[:, distance.clamp(-MAX_DISTANCE, MAX_DISTANCE) + MAX_DISTANCE]
        return learnt + super().time_bias(distance) if self.slopes else learnt


class TemporalAttentionBlock(ChunkedPart):
    """Pre-norm attention along time and a pre-norm MLP; subclasses choose the maps and what runs in chunks.

    Chunks bound the memory and do not change the result, except that ``dropout`` draws random numbers per chunk.

    Args:
        channels: C, of every map.
        heads: Attention heads; divides ``channels``.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        dropout: Probability in [0, 1) of dropout on attention weights and inside the MLP, in training.
        adaptive_chunk: For this and the next three, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
        max_batch_tokens: The most sequences in one chunk.
        chunk_size: The square root of the largest area of a chunk.
        chunk_shape: ``'square'``, ``'wide'`` or ``'tall'``.
        time_slope: How strongly attention prefers nearby frames, see :class:`TemporalAttention`; 0 in the baseline.
        chunks: ``'rules'`` or ``'auto'``.

    Raises:
        ConfigError: An argument is invalid.
    """

    inputs = 1
    """Number of maps that :meth:`attend` takes; each has its own norm."""

    casts_together = True
    """All layers compute in autocast's type, see :func:`~vrtspike.models.layers.cast_weights.cast_where_allowed`."""

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
        name = type(self).__name__
        require_positive_integers(name, channels=channels, heads=heads)
        require_positive(name, mlp_ratio=mlp_ratio)
        check_heads(name, channels, heads)
        if not 0 <= dropout < 1:
            raise ConfigError(f'{name}: dropout={dropout!r}; expected a probability in [0, 1)')
        hidden = max(1, round(channels * mlp_ratio))
        self.input_norms = nn.ModuleList(TokenNorm(channels) for _ in range(self.inputs))
        self.attention = self.attention_type(channels, heads, dropout, time_slope)
        self.mlp_norm = TokenNorm(channels)
        self.mlp = nn.Sequential(
            Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def attend(self, *tokens: Tensor) -> Tensor:
        """Normalise the tokens (N, T, C) of every map and attend from the first map to the last (N, T, C)."""
        normed = [norm(each) for norm, each in zip(self.input_norms, tokens, strict=True)]
        return self.attention(normed[0], normed[-1])

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Pre-norm MLP over the last dimension: (..., C) -> (..., C), without the residual."""
        return self.mlp(self.mlp_norm(tokens))
