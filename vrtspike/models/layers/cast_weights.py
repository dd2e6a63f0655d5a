"""Weights of layers in autocast's type, cast by one kernel for many layers.

Under autocast every layer casts its own weights: one launch for each, another one for its gradient, and the first again
where activations are recomputed. Large GPUs are done with such a kernel before the host has launched the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from vrtspike.models.layers.conv import Conv3d, FrameConv
from vrtspike.models.layers.linear import Linear
from vrtspike.runtime.device import fuses_by_hand

Call = Callable[..., Tensor]

LAYERS = (Linear, nn.Linear, nn.Conv1d, nn.Conv2d, Conv3d, FrameConv)
"""Classes of layers that compute in autocast's type."""

ALIGNMENT = 8
"""Numbers: 16 bytes in 16 bit."""


def cast_together(x: Tensor, *modules: nn.Module) -> tuple[Call, ...]:
    """Return functions that call the modules with their layers' weights in autocast's type.

    One kernel casts the weights of all modules now, and one their gradients. The functions may be called again in the
    backward pass, as activation checkpointing does. They are the modules themselves on other devices than GPUs, without
    autocast, where a compiler fuses the casts, and while weights are sharded. Biases stay in float32 where the layer
    says so by ``casts_bias``.

    Args:
        x: What they will be called with; its device counts.
        modules: Their layers of the :data:`LAYERS` are cast. Subclasses, as adapters are, cast by themselves.
    """
    compiled = any(module._compiled_call_impl is not None for module in modules)
    if not fuses_by_hand(x) or not torch.is_autocast_enabled(x.device.type) or compiled:
        return modules
    dtype = torch.get_autocast_dtype(x.device.type)
    weights = [weights_of_layers(module) for module in modules]
    if any(isinstance(weight, DTensor) for each in weights for weight in each.values()):
        return modules
    copies: dict[Tensor, Tensor] = {}
    for trained in (True, False):  # the result of a function with one trained weight needs a gradient as a whole
        chosen = [weight for each in weights for weight in each.values() if weight.requires_grad == trained]
        if chosen:
            copies.update(zip(chosen, _CastTogether.apply(dtype, *chosen), strict=True))
    return tuple(
        call_with(module, {name: copies[weight] for name, weight in each.items()})
        for module, each in zip(modules, weights, strict=True)
    )


def cast_where_allowed(x: Tensor, *modules: nn.Module) -> tuple[Call, ...]:
    """Return what :func:`cast_together` returns for modules that allow it by ``casts_together``; others as they are.

    A part that a user writes may compute in float32 somewhere, whatever autocast says, or checkpoint activations inside
    of itself, which would be computed again with weights that are not cast. Subclasses of a part that allows it may set
    it to False.
    """
    allowed = [module for module in modules if getattr(module, 'casts_together', False)]
    calls = dict(zip(allowed, cast_together(x, *allowed), strict=True))
    return tuple(calls.get(module, module) for module in modules)


def weights_of_layers(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the float32 weights and biases of the layers in a module by their names."""
    return {
        f'{prefix}.{name}'.lstrip('.'): weight
        for prefix, layer in module.named_modules()
        if type(layer) in LAYERS
        for name, weight in layer.named_parameters(recurse=False)
        if weight.dtype is torch.float32 and (name != 'bias' or getattr(layer, 'casts_bias', True))
    }


def call_with(module: nn.Module, weights: dict[str, Tensor]) -> Call:
    """Return a function that calls a module with other weights."""

    def call(*inputs: Any) -> Tensor:
        return functional_call(module, weights, inputs, tie_weights=False)

    return call


class _CastTogether(torch.autograd.Function):
    """Copies of tensors in another type; the gradients come in the types of the tensors."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # a dropped branch has no gradients
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        return copied_together(tensors, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        present = {i: grad for i, grad in enumerate(grads) if grad is not None}
        wide = copied(list(present.values()), [ctx.dtypes[i] for i in present])
        by_place = dict(zip(present, wide, strict=True))
        return None, *(by_place.get(i) for i in range(len(grads)))


def copied_together(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return contiguous copies of tensors in another type, made by one kernel on GPUs, in one buffer.

    Those of one shape lie behind each other, so that two weights can be one, see :func:`~vrtspike.ops.joined_rows`.
    Each begins at a multiple of :data:`ALIGNMENT`, which products want.
    """
    order = sorted(range(len(tensors)), key=lambda i: tensors[i].shape)
    sizes = [-(-tensors[i].numel() // ALIGNMENT) * ALIGNMENT for i in order]
    parts = torch.empty(sum(sizes), dtype=dtype, device=tensors[0].device).split(sizes)
    by_place = {i: part[: tensors[i].numel()].view(tensors[i].shape) for i, part in zip(order, parts, strict=True)}
    copies = [by_place[i] for i in range(len(tensors))]
    torch._foreach_copy_(copies, list(tensors))
    return tuple(each.detach() for each in copies)


def copied(tensors: tuple[Tensor, ...] | list[Tensor], dtypes: list[torch.dtype]) -> list[Tensor]:
    """Return contiguous copies of tensors in other types, made by one kernel on GPUs."""
    copies = [
        torch.empty(tensor.shape, dtype=d, device=tensor.device) for tensor, d in zip(tensors, dtypes, strict=True)
    ]
    if copies:
        torch._foreach_copy_(copies, list(tensors))
    return copies
