"""Finds the memory of the activations that a training iteration saves for its backward pass, without allocating it."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from vrtspike.ops.backends import use_backends
from vrtspike.ops.counting import COUNTED_BACKENDS
from vrtspike.profiling.flops import copy_to
from vrtspike.profiling.stages import innermost, listening
from vrtspike.runtime.device import MIB


class _OpenStages:
    """Listens which stages are open in the forward pass."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def forward_begins(self, name: str) -> None:
        self.names.append(name)

    def forward_ends(self, name: str) -> None:
        self.names.pop()

    def backward_begins(self, name: str) -> None: ...

    def backward_ends(self, name: str) -> None: ...


def saved_activations_mib(
    model: nn.Module, shape: tuple[int, ...], spike_shape: tuple[int, ...] | None = None
) -> dict[str, float]:
    """Return MiB of saved activations by stage, in the order the stages ran.

    The network runs once on the meta device in training mode, with the reference backends of the operators. A fused
    kernel may save less, so this is an upper bound. Parameters, gradients, the optimizer's state and the inputs of
    checkpointed regions are not counted.

    Args:
        model: A restorer.
        shape: (B, T, 3, H, W) of the frames.
        spike_shape: (B, T, K, Hs, Ws) of the spikes, if the network takes any.
    """
    trained = [parameter.requires_grad for parameter in model.parameters()]
    model = copy_to('meta', model).train()
    for parameter, requires_grad in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(requires_grad)
    channels = model.backbone.in_channels
    blur = torch.empty((*shape[:2], channels, *shape[3:]), device='meta')
    tensors = {'blur': blur, 'sharp': torch.empty(shape, device='meta')}
    if spike_shape is not None:
        tensors['spikes'] = torch.empty(spike_shape, device='meta')
    saved_bytes: Counter[str] = Counter()
    seen = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    alive = []  # while storages are alive, no two of them share an address
    stages = _OpenStages()

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            alive.append(tensor)
            saved_bytes[innermost(stages.names)[0] or 'other'] += storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor)
    with listening(stages), use_backends(**COUNTED_BACKENDS), hooks:
        model(**tensors, mode='loss')
    return {name: size / MIB for name, size in saved_bytes.items()}
