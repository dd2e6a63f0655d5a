"""What a training step holds in memory for its backward pass, stage by stage, found without allocating any."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from vrtspike.ops.backends import use_backends
from vrtspike.profiling.flops import COUNTED_BACKENDS, _on_meta
from vrtspike.profiling.stages import innermost, listening
from vrtspike.runtime.device import MIB


class _Open:
    """Knows which stages are open in the forward pass."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def forward_begins(self, name: str) -> None:
        self.names.append(name)

    def forward_ends(self, name: str) -> None:
        self.names.pop()

    def backward_begins(self, name: str) -> None: ...

    def backward_ends(self, name: str) -> None: ...


def held_mib(model: nn.Module, shape: tuple[int, ...], spike_shape: tuple[int, ...] | None = None) -> dict[str, float]:
    """Return MiB of what autograd keeps between forward and backward, by stage, in the order the stages ran.

    The network runs once on the meta device, in training mode, with the plain references of the operators: where a
    fused kernel keeps less, this is an upper bound. Parameters, gradients and the optimizer's state are not counted,
    nor are the inputs of checkpointed regions.

    Args:
        model: A restorer.
        shape: (B, T, 3, H, W) of the frames.
        spike_shape: (B, T, K, Hs, Ws) of the spikes, where the network takes any.
    """
    trained = [parameter.requires_grad for parameter in model.parameters()]
    model = _on_meta(model).train()
    for parameter, learns in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(learns)
    tensors = {'blur': torch.empty(shape, device='meta'), 'sharp': torch.empty(shape, device='meta')}
    if spike_shape is not None:
        tensors['spikes'] = torch.empty(spike_shape, device='meta')
    held: Counter[str] = Counter()
    seen = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept = []  # storages stay alive so that no two of them share an address
    opened = _Open()

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            kept.append(tensor)
            held[innermost(opened.names)[0] or 'other'] += storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with listening(opened), use_backends(**COUNTED_BACKENDS), hooks:
        model(**tensors, mode='loss')
    return {name: size / MIB for name, size in held.items()}
