"""Gradients that wait for their step, kept with a checkpoint that falls between two steps."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from vrtspike.runtime.distributed import unwrap_model


def is_accumulating(optim_wrapper: OptimWrapper) -> bool:
    """Return whether gradients of earlier iterations wait for a step of the optimizer."""
    return optim_wrapper._inner_count % optim_wrapper._accumulative_counts != 0


def waiting_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by the names of their parameters, on the CPU, averaged over the processes.

    Loaded into every process, averages lead to the same step: the step's own average over processes is linear. All
    processes must call this together.
    """
    found = {}
    for name, parameter in unwrap_model(model).named_parameters():
        if parameter.grad is None:
            continue
        gradient = parameter.grad.detach().clone()
        if get_world_size() > 1:
            all_reduce(gradient, 'mean')
        found[name] = gradient.cpu()
    return found


def restore_gradients(model: nn.Module, gradients: dict[str, Tensor]) -> None:
    """Set what :func:`waiting_gradients` returned."""
    parameters = dict(unwrap_model(model).named_parameters())
    for name, gradient in gradients.items():
        parameter = parameters[name]
        parameter.grad = gradient.to(parameter.device, parameter.dtype, memory_format=torch.preserve_format)
