"""A gated linear layer that saves only its inputs: the backward pass computes the hidden map again, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vrtspike.ops.chunks import row_chunks
from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.gated_linear.halves import empty_like_both, empty_like_each
from vrtspike.ops.linear import linear


class Gate(NamedTuple):
    """An implementation of ``hidden = gelu(x) * gate``."""

    values: Callable[[Tensor, Tensor], Tensor]
    """``values(x, gate)`` returns the hidden map."""
    gradients: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    """``gradients(grad, x, gate, grad_x, grad_gate)`` writes to the last two, and returns the hidden map again."""
    takes_halves: bool = True
    """Whether ``gradients`` can write to the halves of one map; otherwise it wants contiguous maps."""


def recomputing(implementation: Gate, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute ``linear(gelu(x) * gate)`` of maps (..., C); only ``x`` and ``gate`` are saved for the backward pass."""
    if not torch.is_grad_enabled():
        return linear(implementation.values(x, gate), weight, bias)
    saved = _Saved.apply(implementation, x, gate, weight, bias)
    return _Linear.apply(saved, implementation, *(tensor.detach() for tensor in (x, gate, weight, bias)))


class _Linear(torch.autograd.Function):
    """The result of the layer, whose gradient :class:`_Saved` takes.

    Activation checkpointing recomputes up to the last tensor that is saved: all but this.
    """

    @staticmethod
    def forward(
        ctx: Any, saved: Tensor, implementation: Gate, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        return linear(implementation.values(x, gate), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, *(None,) * 5


class _Saved(torch.autograd.Function):
    """Saves what the backward pass needs; a tensor without memory stands for the result."""

    @staticmethod
    def forward(ctx: Any, implementation: Gate, x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate, weight)
        ctx.implementation = implementation
        return x.new_empty((), dtype=computes_in(x)).expand(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor, Tensor]:
        x, gate, weight = ctx.saved_tensors
        rows = [tensor.flatten(0, -2) for tensor in (x, gate, grad)]
        implementation = ctx.implementation
        empty = empty_like_both if implementation.takes_halves else empty_like_each
        grads = empty(*rows[:2])
        sums = torch.promote_types(weight.dtype, torch.float32)
        grad_weight, back = None, weight.t().to(grad.dtype)
        for chunk in row_chunks(rows[0]):
            x_chunk, gate_chunk, grad_chunk = (tensor[chunk] for tensor in rows)
            grad_hidden = linear(grad_chunk, back)
            hidden = implementation.gradients(grad_hidden, x_chunk, gate_chunk, *(each[chunk] for each in grads))
            product = grad_chunk.t() @ hidden
            grad_weight = product if grad_weight is None else grad_weight.to(sums) + product
        grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight.to(weight.dtype)
        return None, *(g.view_as(x) for g in grads), grad_weight, rows[2].sum(0, dtype=weight.dtype)


def _gradients(grad: Tensor, x: Tensor, gate: Tensor, grad_x: Tensor, grad_gate: Tensor) -> Tensor:
    hidden = F.gelu(x)
    torch.mul(grad, hidden, out=grad_gate)
    torch.ops.aten.gelu_backward.grad_input(grad * gate, x, grad_input=grad_x)
    return hidden.mul_(gate)


PYTORCH = Gate(lambda x, gate: F.gelu(x).mul_(gate), _gradients)
"""With PyTorch's operators, on every device."""
