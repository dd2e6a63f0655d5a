"""The training iteration of a config: the forward and backward pass on random clips."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.native.allocator import allocate_tensors_with_malloc
from vrtspike.runtime.device import allow_matmul_tf32

Shape = tuple[int, int, int, int]
"""(B, T, H, W) of a batch."""


@dataclass
class TrainingStep:
    """A forward and backward pass of a model on the same clips. A call resets the gradients and runs it.

    Args:
        model: The restorer, in training mode.
        inputs: Its inputs.
        precision: Returns the context to compute in.
    """

    model: nn.Module
    inputs: dict[str, Tensor]
    precision: Callable[[], Any]

    def __call__(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.accumulate()

    def accumulate(self) -> None:
        """Run the pass and add its gradients to the present ones."""
        with self.precision():
            loss = self.model(**self.inputs, mode='loss')['loss']
        loss.backward()


def build(config: Any) -> nn.Module:
    """Build the model of a config."""
    import vrtspike.models  # noqa: F401 - registers what configs name
    from vrtspike.registry import MODELS

    return MODELS.build(config.model)


def training_step(config: Any, shape: Shape, device: torch.device) -> TrainingStep:
    """Return the training iteration of a config's model in its precision. All configs get the same random clips."""
    allocate_tensors_with_malloc()
    allow_matmul_tf32((config.get('env_cfg') or {}).get('matmul_tf32', False))
    model = build(config).to(device).train()
    generator = torch.Generator().manual_seed(0)
    inputs = {
        name: torch.rand(size, generator=generator).to(device) for name, size in input_shapes(model, shape).items()
    }
    return TrainingStep(model, inputs, precision_of(config, device))


def input_shapes(model: nn.Module, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a restorer's inputs for a training iteration."""
    batch, frames, height, width = shape
    channels = {'blur': model.backbone.in_channels, 'sharp': 3}
    shapes = {name: (batch, frames, each, height, width) for name, each in channels.items()}
    if model.uses_spikes:
        shapes['spikes'] = (batch, frames, model.spike_bins, height // 2, width // 2)
    return shapes


def precision_of(config: Any, device: torch.device) -> Callable[[], Any]:
    """Return the context that a config's optimizer wrapper computes in."""
    from vrtspike.optim.amp import autocast, resolve_dtype

    wrapper = config.get('optim_wrapper') or {}
    if 'Amp' not in wrapper.get('type', ''):
        return contextlib.nullcontext
    dtype = resolve_dtype(wrapper.get('dtype', 'auto'), device)
    return lambda: autocast(device, dtype)
