"""The selective state-space model along time (Mamba, arXiv 2312.00752), in plain PyTorch.

Shapes: N sequences, T tokens (frames), C channels, S states per channel.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import require_positive_integers
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import from_tokens, to_tokens

FASTEST, SLOWEST = 0.1, 1.0
"""Range of the initial step sizes (log-uniform): clips are short, so states should forget within a few frames."""


def selective_scan(x: Tensor, step: Tensor, decay: Tensor, into: Tensor, out_of: Tensor) -> Tensor:
    """Return y_t = <c_t, h_t> for the states h_t = exp(d_t a) h_(t-1) + d_t b_t x_t, h_(-1) = 0.

    Args:
        x: Input (N, T, C).
        step: d, step sizes (N, T, C) above zero.
        decay: a, (C, S), below zero.
        into: b, (N, T, S), the weights with which the input enters the states.
        out_of: c, (N, T, S), the weights with which the output reads them.

    Returns:
        (N, T, C), in float32 or the precision of ``x``, whichever is higher: states are sums over time.
    """
    high = torch.promote_types(x.dtype, torch.float32)
    x, step, into, out_of = (each.to(high) for each in (x, step, into, out_of))
    state = x.new_zeros(x.shape[0], *decay.shape)
    outputs = []
    for t in range(x.shape[1]):
        keep = torch.exp(step[:, t, :, None] * decay)
        state = keep * state + (step[:, t] * x[:, t])[..., None] * into[:, t, None]
        outputs.append((state * out_of[:, t, None]).sum(-1))
    return torch.stack(outputs, dim=1)


class SelectiveScan(nn.Module):
    """A selective scan of one sequence, read by another, in both directions of time.

    out = W_o [(scan(u) + reversed scan(u) + D u) * SiLU(W_z q)] with u = SiLU(W_u k), d = softplus(W_d k), b = W_b k
    from the context k and c = W_c q from the query q. The directions differ only in their decay a (as in Vision Mamba,
    arXiv 2401.09417, without its convolution).

    Args:
        channels: C.
        states: S.
    """

    def __init__(self, channels: int, states: int = 8) -> None:
        super().__init__()
        self.sizes = (channels, channels, states)
        self.from_context = Linear(channels, sum(self.sizes))
        self.from_query = Linear(channels, channels + states)
        self.log_decay = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(2, channels, 1))
        self.skip = nn.Parameter(torch.ones(channels))
        self.out = Linear(channels, channels)
        self._initialise_steps(channels)

    def _initialise_steps(self, channels: int) -> None:
        """Draw the initial step sizes log-uniformly between :data:`FASTEST` and :data:`SLOWEST`."""
        steps = torch.exp(torch.empty(channels).uniform_(math.log(FASTEST), math.log(SLOWEST)))
        with torch.no_grad():
            self.from_context.bias[channels : 2 * channels] = steps + torch.log(-torch.expm1(-steps))

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Scan ``context`` and read it by ``query``, both (N, T, C); returns (N, T, C)."""
        x, step, into = self.from_context(context).split(self.sizes, dim=-1)
        gate, out_of = self.from_query(query).split((self.sizes[0], self.sizes[2]), dim=-1)
        x, step = F.silu(x), F.softplus(step)
        decay = -self.log_decay.exp()
        after = selective_scan(x, step, decay[0], into, out_of)
        before = selective_scan(*(each.flip(1) for each in (x, step)), decay[1], into.flip(1), out_of.flip(1)).flip(1)
        read = after + before + self.skip * x
        return self.out((read * F.silu(gate)).to(gate.dtype))


class SelectiveScanPart(ChunkedPart):
    """Base of the parts that scan along time at every pixel, chunk by chunk.

    Args:
        channels: C, of every map.
        states: States per channel.
        kwargs: How the maps are cut into chunks, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

    norms = ('norm',)
    """Names of the layer norms, one for each map that is scanned or read."""

    def __init__(self, channels: int, states: int = 8, **kwargs: Any) -> None:
        super().__init__(channels, **kwargs)
        require_positive_integers(type(self).__name__, channels=channels, states=states)
        for name in self.norms:
            setattr(self, name, nn.LayerNorm(channels))
        self.scan = SelectiveScan(channels, states)

    def scan_chunks(self, *maps: Tensor) -> Tensor:
        """Normalise the maps (B, C, T, h, w), scan the last and read it by the first; returns the same shape."""
        return self.map_chunks(self._scan, *maps)

    def _scan(self, *chunks: Tensor) -> Tensor:
        tokens = [getattr(self, name)(to_tokens(chunk)) for name, chunk in zip(self.norms, chunks, strict=True)]
        return from_tokens(self.scan(tokens[0], tokens[-1]), like=chunks[0])
