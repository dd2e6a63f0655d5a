"""Feed-forward networks for every token: VRT's gated MLP (GEGLU, arXiv 2002.05202), and the MLP of fusion heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import ChannelNorm, zeroed
from vrtspike.ops.chunks import map_rows, row_chunks


class GatedMLP(nn.Module):
    """``fc2(gelu(fc11(x)) * fc12(x))`` on the last axis.

    Args:
        in_features: Channels of the input.
        hidden_features: Channels of each of the two branches.
        out_features: Channels of the output; None is as many as the input.
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int | None = None) -> None:
        super().__init__()
        self.fc11 = nn.Linear(in_features, hidden_features)
        self.fc12 = nn.Linear(in_features, hidden_features)
        self.fc2 = nn.Linear(hidden_features, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return map_rows(self.gated, x)

    def gated(self, x: Tensor) -> Tensor:
        """Compute the network for all tokens at once."""
        return gated_linear(self.fc11(x), self.fc12(x), self.fc2.weight, self.fc2.bias)


def gated_linear(x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``linear(gelu(x) * gate)`` of maps (..., C); only ``x`` and ``gate`` are saved for the backward pass.

    Compilers and tracers get plain operators: a compiler decides by itself what to recompute, and a tracer cannot see
    into a custom autograd function.
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling() and not torch.jit.is_tracing():
        return _GatedLinear.apply(x, gate, weight, bias)
    hidden = F.gelu(x)
    return F.linear(hidden * gate if torch.is_grad_enabled() else hidden.mul_(gate), weight, bias)


class _GatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate, weight)
        return F.linear(F.gelu(x).mul_(gate), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, gate, weight = ctx.saved_tensors
        rows = [tensor.flatten(0, -2) for tensor in (x, gate, grad)]
        grads = torch.empty_like(rows[0]), torch.empty_like(rows[1])
        sums = torch.promote_types(weight.dtype, torch.float32)
        grad_weight = torch.zeros_like(weight, dtype=sums)
        for chunk in row_chunks(rows[0]):
            x_chunk, gate_chunk, grad_chunk = (tensor[chunk] for tensor in rows)
            hidden = F.gelu(x_chunk)
            through = grad_chunk @ weight.to(grad.dtype)
            torch.mul(through, hidden, out=grads[1][chunk])
            grad_weight += grad_chunk.t() @ hidden.mul_(gate_chunk)
            torch.ops.aten.gelu_backward.grad_input(through.mul_(gate_chunk), x_chunk, grad_input=grads[0][chunk])
        grad_bias = rows[2].sum(0, dtype=sums)
        return *(g.view_as(x) for g in grads), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype)


def feed_forward(channels: int, mlp_ratio: float = 2.0, *, starts_at_zero: bool) -> nn.Sequential:
    """Return the layers that compute W2 GELU(W1 LN(x)) at every pixel of a map (B, C, T, H, W).

    Args:
        channels: C.
        mlp_ratio: Hidden channels over ``channels``.
        starts_at_zero: Whether W2 begins at zero, so that the residual branch begins as zero.
    """
    hidden = max(1, round(channels * mlp_ratio))
    last = FrameConv(hidden, channels, size=1)
    return nn.Sequential(
        ChannelNorm(channels), FrameConv(channels, hidden, size=1), nn.GELU(), zeroed(last) if starts_at_zero else last
    )
