"""The linear layer with a residual."""

from __future__ import annotations

import torch
from torch import Tensor

from vrtspike.ops.backends import Request
from vrtspike.ops.linear.backends import LINEAR
from vrtspike.ops.linear.reference import reference
from vrtspike.runtime.device import in_graph


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, residual: Tensor | None = None, backend: str = 'auto'
) -> Tensor:
    """Return ``residual + x W^T + bias``, in autocast in its type, as ``torch.nn.functional.linear`` does.

    GPUs, compilers and tracers get PyTorch's operators.

    Args:
        x: (..., C).
        weight: W (C', C).
        bias: (C',).
        residual: (..., C'), added to the result.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.linear.backends.LINEAR`.

    Returns:
        (..., C').
    """
    if x.device.type != 'cpu' or in_graph():
        return reference(x, weight, bias, residual)
    if torch.is_autocast_enabled('cpu') and x.dtype != torch.float64:
        dtype = torch.get_autocast_dtype('cpu')
        x, weight, bias = (each if each is None else each.to(dtype) for each in (x, weight, bias))
    run = LINEAR.choose(x, Request(backend)).run
    if residual is not None and residual.dtype != x.dtype:  # the sum has the wider type
        return residual + run(x, weight, bias)
    return run(x, weight, bias, residual)
