"""The gated feed-forward network of VRT's blocks (GEGLU, arXiv 2002.05202)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vrtspike.ops.chunks import in_pieces, rows_of


class GatedMLP(nn.Module):
    """``fc2(gelu(fc11(x)) * fc12(x))`` on the last axis.

    Args:
        in_features: Channels that come in.
        hidden_features: Channels of each of the two branches.
        out_features: Channels that go out; None is as many as come in.
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int | None = None) -> None:
        super().__init__()
        self.fc11 = nn.Linear(in_features, hidden_features)
        self.fc12 = nn.Linear(in_features, hidden_features)
        self.fc2 = nn.Linear(hidden_features, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        return in_pieces(self.gated, x)

    def gated(self, x: Tensor) -> Tensor:
        """Compute the network for all tokens at once."""
        return gated_linear(self.fc11(x), self.fc12(x), self.fc2.weight, self.fc2.bias)


def gated_linear(x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``linear(gelu(x) * gate)`` of maps (..., C), keeping the two alone for the backward pass.

    A compiler decides by itself what to compute anew, and a tracer sees into no function with a backward of its own.
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
        for part in rows_of(rows[0]):
            x_part, gate_part, grad_part = (tensor[part] for tensor in rows)
            hidden = F.gelu(x_part)
            through = grad_part @ weight.to(grad.dtype)
            torch.mul(through, hidden, out=grads[1][part])
            grad_weight += grad_part.t() @ hidden.mul_(gate_part)
            torch.ops.aten.gelu_backward.grad_input(through.mul_(gate_part), x_part, grad_input=grads[0][part])
        grad_bias = rows[2].sum(0, dtype=sums)
        return *(g.view_as(x) for g in grads), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype)
