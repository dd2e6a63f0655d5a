"""A gated linear layer that saves only its inputs: the backward pass computes the hidden map again, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vrtspike.ops.chunks import row_chunks
from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.gated_linear.halves import empty_like_both, empty_like_each
from vrtspike.ops.gated_linear.reference import plus_biases
from vrtspike.ops.linear import linear
from vrtspike.ops.linear.gradients import weight_gradient

Biases = tuple[Tensor, Tensor]
"""Of the two maps that the gate takes, (C,) each."""


class Gate(NamedTuple):
    """An implementation of ``hidden = gelu(x) * gate``."""

    values: Callable[[Tensor, Tensor, Biases | None], Tensor]
    """``values(x, gate, biases)`` returns the hidden map."""
    gradients: Callable[[Tensor, Tensor, Tensor, Biases | None, Tensor, Tensor], tuple[Tensor, Tensor | None]]
    """``gradients(grad, x, gate, biases, grad_x, grad_gate)`` writes to the last two. It returns the hidden map again,
    and the gradients of the biases (2, C) in float32."""
    takes_halves: bool = True
    """Whether ``gradients`` can write to the halves of one map; otherwise it wants contiguous maps."""
    adds_biases: bool = False
    """Whether it adds biases to the two maps before the gate; otherwise it gets None."""


def recomputing(
    implementation: Gate,
    x: Tensor,
    gate: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    input_biases: Biases | None = None,
) -> Tensor:
    """Compute ``linear(gelu(x) * gate)`` of maps (..., C); only ``x`` and ``gate`` are saved for the backward pass."""
    if input_biases is not None and not implementation.adds_biases:
        x, gate = plus_biases(x, gate, input_biases)
        input_biases = None
    if not torch.is_grad_enabled():
        return linear(implementation.values(x, gate, input_biases), weight, bias)
    inputs = x, gate, weight, bias, *(input_biases or (None, None))
    saved = _Saved.apply(implementation, *inputs)
    return _Linear.apply(saved, implementation, *(None if each is None else each.detach() for each in inputs))


class _Linear(torch.autograd.Function):
    """The result of the layer, whose gradient :class:`_Saved` takes.

    Activation checkpointing recomputes up to the last tensor that is saved: all but this.
    """

    @staticmethod
    def forward(ctx: Any, saved: Tensor, implementation: Gate, *inputs: Tensor | None) -> Tensor:
        x, gate, weight, bias, *biases = inputs
        return linear(implementation.values(x, gate, _given(biases)), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, *(None,) * (len(ctx.needs_input_grad) - 1)


class _Saved(torch.autograd.Function):
    """Saves what the backward pass needs; a tensor without memory stands for the result."""

    @staticmethod
    def forward(ctx: Any, implementation: Gate, *inputs: Tensor | None) -> Tensor:
        x, gate, weight, bias, *biases = inputs
        ctx.save_for_backward(x, gate, weight, *biases)
        ctx.implementation = implementation
        ctx.bias_dtype = None if bias is None else bias.dtype
        return x.new_empty((), dtype=computes_in(x)).expand(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, weight, *biases = ctx.saved_tensors
        rows = [tensor.flatten(0, -2) for tensor in (x, gate, grad)]
        implementation = ctx.implementation
        empty = empty_like_both if implementation.takes_halves else empty_like_each
        grads = empty(*rows[:2])
        sums = torch.promote_types(weight.dtype, torch.float32)
        grad_weight, grad_biases, back = None, None, weight.t().to(grad.dtype)
        for chunk in row_chunks(rows[0]):
            x_chunk, gate_chunk, grad_chunk = (tensor[chunk] for tensor in rows)
            grad_hidden = linear(grad_chunk, back)
            hidden, of_biases = implementation.gradients(
                grad_hidden, x_chunk, gate_chunk, _given(biases), *(each[chunk] for each in grads)
            )
            product = weight_gradient(grad_chunk, hidden)
            grad_weight = product if grad_weight is None else grad_weight.to(sums) + product
            grad_biases = of_biases if grad_biases is None else grad_biases + of_biases
        grad_weight = torch.zeros_like(weight) if grad_weight is None else grad_weight.to(weight.dtype)
        grad_bias = None if ctx.bias_dtype is None else rows[2].sum(0, dtype=ctx.bias_dtype)
        if grad_biases is None:  # there are no biases, or no rows
            grad_biases = [None if each is None else torch.zeros_like(each) for each in biases]
        return None, *(g.view_as(x) for g in grads), grad_weight, grad_bias, *grad_biases


def _given(biases: Sequence[Tensor | None]) -> Biases | None:
    """Return the biases of both maps, or None if there are none."""
    return None if biases[0] is None else tuple(biases)


def _gradients(
    grad: Tensor, x: Tensor, gate: Tensor, biases: None, grad_x: Tensor, grad_gate: Tensor
) -> tuple[Tensor, None]:
    hidden = F.gelu(x)
    torch.mul(grad, hidden, out=grad_gate)
    torch.ops.aten.gelu_backward.grad_input(grad * gate, x, grad_input=grad_x)
    return hidden.mul_(gate), None


PYTORCH = Gate(lambda x, gate, biases: F.gelu(x).mul_(gate), _gradients)
"""With PyTorch's operators, on every device."""
