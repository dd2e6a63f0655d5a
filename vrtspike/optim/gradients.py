"""Accumulated gradients, saved with a checkpoint between two optimizer steps."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from vrtspike.runtime.distributed import gather, shard_like, unwrap_model


def is_accumulating(optim_wrapper: OptimWrapper) -> bool:
    """Return whether gradients of earlier iterations are waiting for an optimizer step."""
    return optim_wrapper._inner_count % optim_wrapper._accumulative_counts != 0


def accumulated_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by the names of their parameters, on the CPU, averaged over the processes.

    All processes must call this together. Each of them can load the average again and reaches the same step, because
    the average over processes at the step is linear.
    """
    found = {}
    for name, parameter in unwrap_model(model).named_parameters():
        if parameter.grad is None:
            continue
        found[name] = averaged(parameter.grad.detach()).cpu()
    return found


def restore_gradients(model: nn.Module, gradients: dict[str, Tensor]) -> None:
    """Set what :func:`accumulated_gradients` returned."""
    parameters = dict(unwrap_model(model).named_parameters())
    for name, gradient in gradients.items():
        parameter = parameters[name]
        gradient = gradient.to(parameter.device, parameter.dtype, memory_format=torch.preserve_format)
        parameter.grad = shard_like(gradient, parameter)


def averaged(gradient: Tensor) -> Tensor:
    """Return the average over the processes. A sharded gradient is one already."""
    if isinstance(gradient, DTensor):
        return gather(gradient)
    gradient = gradient.clone()
    if get_world_size() > 1:
        all_reduce(gradient, 'mean')
    return gradient
