"""Low-rank adaptation (LoRA, arXiv 2106.09685): training linear layers of a frozen network through adapters.

An adapter adds scale * B A to the weight (out, in) of a linear layer. A is (rank, in), B is (out, rank), and scale is
alpha / rank. B begins at zero, so that an adapted network begins as the network that it adapts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.adapters import FACTOR_A, FACTOR_B, SCALE
from vrtspike.models.layers.linear import Linear
from vrtspike.profiling.parameters import parameters_under


class LoRALinear(Linear):
    """A linear layer whose ``weight`` is the sum of a frozen weight and an adapter.

    The state dict has the frozen weight under ``weight``, and ``lora_A``, ``lora_B`` and ``lora_scale`` beside it. The
    sum is computed whenever ``weight`` is read, so that fused operators that take weights work as before. It costs
    rank * in * out multiply-adds, and its gradient as much as that of a trained weight.
    """

    @property
    def weight(self) -> Tensor:
        """The adapted weight (out, in)."""
        return self._parameters['weight'] + self.lora_scale * (self.lora_B @ self.lora_A)

    def extra_repr(self) -> str:
        """Describe the layer in a printed network."""
        return f'{super().extra_repr()}, rank={len(self.lora_A)}'


@dataclass(frozen=True)
class LoRA:
    """Which layers of a network get adapters, and what else is trained.

    Args:
        layers: Dotted names of linear layers, or patterns with ``*``, which also matches dots:
            ``'backbone.*.qkv_self'``.
        rank: Rows of A and columns of B.
        alpha: Scale times rank.
        trained: Names or patterns of modules or parameters that are trained as they are: ``'fusion'``. All other
            parameters are frozen.

    Raises:
        ConfigError: ``rank`` is below 1 or ``alpha`` is not above 0.
    """

    layers: Sequence[str]
    rank: int = 8
    alpha: float = 16.0
    trained: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ConfigError(
                f'lora: rank={self.rank}, alpha={self.alpha}; expected a rank of 1 or more, alpha above 0'
            )


def adapt(model: nn.Module, lora: LoRA) -> None:
    """Give linear layers adapters and freeze the rest of the network, in place.

    Raises:
        ConfigError: A name in ``lora`` matches nothing.
    """
    layers = linear_layers(lora.layers, model)
    model.requires_grad_(False)
    for parameter in parameters_under(lora.trained, model):
        parameter.requires_grad_(True)
    for layer in layers:
        _add_adapter(layer, lora.rank, lora.alpha / lora.rank)


def linear_layers(names: Sequence[str], model: nn.Module) -> list[nn.Linear]:
    """Return the linear layers that match ``names``.

    Raises:
        ConfigError: One of ``names`` matches none.
    """
    layers = {name: module for name, module in model.named_modules() if type(module) in (nn.Linear, Linear)}
    for name in names:
        if not any(fnmatchcase(each, name) for each in layers):
            raise ConfigError(f"lora: no linear layer matches '{name}'{did_you_mean(name, layers)}")
    return [layer for each, layer in layers.items() if any(fnmatchcase(each, name) for name in names)]


def merge(model: nn.Module) -> dict[str, Tensor]:
    """Add every adapter to the weight of its layer and remove it, in place.

    Returns:
        The adapters by their names in the state dict; :func:`unmerge` takes them out of the weights again.
    """
    removed = {}
    for name, layer in list(adapted_layers(model)):
        weight = layer.weight.detach()
        for part in (FACTOR_A, FACTOR_B, SCALE):
            removed[f'{name}.{part}'] = getattr(layer, part).detach()
            delattr(layer, part)
        layer.__class__ = Linear
        layer.weight.data = weight
    return removed


def unmerge(model: nn.Module, adapters: Mapping[str, Tensor]) -> None:
    """Undo :func:`merge`: take the adapters out of the weights and give them back to the layers, in place."""
    for name in dict.fromkeys(each.rpartition('.')[0] for each in adapters):
        layer = model.get_submodule(name)
        a, b, scale = (adapters[f'{name}.{part}'] for part in (FACTOR_A, FACTOR_B, SCALE))
        layer.weight.data = layer.weight.data - scale * (b @ a)
        layer.weight.requires_grad_(False)
        _attach(layer, a, b, scale)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Yield the layers with adapters, with their names."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALinear))


def trained_state(model: nn.Module) -> list[str]:
    """Return the names in the state dict that a training changes: trained parameters and buffers of their modules."""
    found = []
    for prefix, module in model.named_modules():
        trained = [name for name, each in module.named_parameters(recurse=False) if each.requires_grad]
        names = trained + [name for name, _ in module.named_buffers(recurse=False)] if trained else []
        found += [f'{prefix}.{name}'.lstrip('.') for name in names if name not in module._non_persistent_buffers_set]
    return found


def _add_adapter(layer: nn.Linear, rank: int, scale: float) -> None:
    like = dict(device=layer.weight.device, dtype=layer.weight.dtype)
    a = torch.empty(rank, layer.in_features, **like)
    nn.init.kaiming_uniform_(a, a=math.sqrt(5))
    _attach(layer, a, torch.zeros(layer.out_features, rank, **like), torch.tensor(scale, **like))


def _attach(layer: nn.Linear, a: Tensor, b: Tensor, scale: Tensor) -> None:
    layer.register_parameter(FACTOR_A, nn.Parameter(a))
    layer.register_parameter(FACTOR_B, nn.Parameter(b))
    layer.register_buffer(SCALE, scale)
    layer.__class__ = LoRALinear
