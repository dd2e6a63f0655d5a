"""Low-rank adapters in weights: their names, and merging them with the weights that they adapt.

An adapter (LoRA, arXiv 2106.09685) of a linear layer adds scale * B A to its weight (out, in). A is (rank, in), B is
(out, rank), and scale is alpha / rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vrtspike.errors import CheckpointError

FACTOR_A, FACTOR_B, SCALE = 'lora_A', 'lora_B', 'lora_scale'
"""Names of an adapter's tensors, beside ``weight`` and ``bias`` of the layer."""

# 'qkv.lora_A.weight' of S-VRT, and 'qkv.lora_A.default.weight' of PEFT, whose name in the middle is the user's.
FACTOR = re.compile(rf'(.+)\.({FACTOR_A}|{FACTOR_B})(?:(?:\.[^.]+)?\.weight)?')
BASE = re.compile(r'(.+)\.(?:base|base_layer)\.(weight|bias)')


@dataclass(frozen=True)
class Adapter:
    """The adapter of one linear layer.

    Attributes:
        layer: Name of the layer.
        a: A (rank, in).
        b: B (out, rank).
        scale: alpha / rank, a tensor without axes.
    """

    layer: str
    a: Tensor
    b: Tensor
    scale: Tensor

    def added_to(self, weight: Tensor | None) -> Tensor:
        """Return the layer's weight (out, in) with the adapter.

        Raises:
            CheckpointError: There is no weight, or it is of another size.
        """
        shape = (len(self.b), self.a.shape[1])
        if weight is None:
            raise CheckpointError(
                f'the checkpoint has an adapter of {self.layer} but not its weight: merge adapters that were saved '
                'alone with the weights that they were trained on (tools/merge_adapters.py)'
            )
        if weight.shape != shape or self.scale.ndim:
            raise CheckpointError(f'the adapter of {self.layer} is for {shape}, its weight is {tuple(weight.shape)}')
        return (weight.float() + self.scale * (self.b.float() @ self.a.float())).to(weight.dtype)


@dataclass(frozen=True)
class Merged:
    """Weights whose adapters are merged.

    Attributes:
        weights: Tensors by name.
        names: The names of those that an adapter changed.
    """

    weights: dict[str, Tensor]
    names: list[str]


def with_plain_adapters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in which S-VRT's and PEFT's names of adapters and of the layers in them are ours.

    ``qkv.base.weight`` becomes ``qkv.weight``, and ``qkv.lora_A.weight`` becomes ``qkv.lora_A``.
    """
    layers = {found[1] for name in weights if (found := FACTOR.fullmatch(name))}

    def plain(name: str) -> str:
        if found := FACTOR.fullmatch(name):
            return f'{found[1]}.{found[2]}'
        found = BASE.fullmatch(name)
        return f'{found[1]}.{found[2]}' if found and found[1] in layers else name

    return {plain(name): tensor for name, tensor in weights.items()} if layers else dict(weights)


def merge_adapters(
    weights: Mapping[str, Tensor], targets: Mapping[str, Tensor] | None = None, alpha: float | None = None
) -> Merged:
    """Merge adapters with the weights of their layers, except for adapters that the network has as well.

    Args:
        weights: Tensors by name, from :func:`with_plain_adapters`.
        targets: The tensors of the network.
        alpha: Scale times rank, for adapters whose scale is not among ``weights``.

    Raises:
        CheckpointError: The scale is not known, the layer of an adapter is missing, or shapes do not fit.
    """
    merged = Merged(dict(weights), [])
    for layer in layers_with_adapters(weights):
        adapter = adapter_of(layer, weights, alpha)
        target = (targets or {}).get(f'{layer}.{FACTOR_A}')
        if target is not None and target.shape == adapter.a.shape:
            merged.weights[f'{layer}.{SCALE}'] = adapter.scale
            continue
        for name in (FACTOR_A, FACTOR_B, SCALE):
            merged.weights.pop(f'{layer}.{name}', None)
        merged.weights[f'{layer}.weight'] = adapter.added_to(weights.get(f'{layer}.weight'))
        merged.names.append(f'{layer}.weight')
    return merged


def layers_with_adapters(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the layers that have an adapter."""
    ends = (f'.{FACTOR_A}', f'.{FACTOR_B}')
    return list(dict.fromkeys(name.rpartition('.')[0] for name in weights if name.endswith(ends)))


def adapter_of(layer: str, weights: Mapping[str, Tensor], alpha: float | None) -> Adapter:
    """Return the adapter of a layer; see :func:`merge_adapters`."""
    a, b, scale = (weights.get(f'{layer}.{name}') for name in (FACTOR_A, FACTOR_B, SCALE))
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or not len(a):
        shapes = [tuple(each.shape) for each in (a, b) if each is not None]
        raise CheckpointError(f'the adapter of {layer} is damaged: it has the shapes {shapes}, expected A and B')
    if scale is None and alpha is None:
        raise CheckpointError(
            f'the checkpoint has adapters of rank {len(a)} (such as that of {layer}) without their alpha: give it with '
            '--cfg-options lora_alpha=16 of tools/train.py, or --lora-alpha 16 of tools/merge_adapters.py. It is '
            "train.lora_alpha in S-VRT's options, and lora_alpha in PEFT's adapter_config.json"
        )
    return Adapter(layer, a, b, torch.tensor(alpha / len(a)) if scale is None else scale)
