"""What a network computes, by stage: multiply-accumulates, activations, bytes and parameters, without computing it.

The network runs on the meta device, where tensors have shapes and no values, so that any size takes seconds. Every
operator that it dispatches is counted by fvcore's rules (one fused multiply-add is one MAC) for the stage whose marker
is open. fvcore's own front end, ``FlopCountAnalysis``, needs ``torch.jit.trace``, which cannot trace meta tensors and
is deprecated; tests compare the two, and both with ``torch.utils.flop_counter``.

Operators of :mod:`vrtspike.ops` are counted by one fixed backend, so that a count belongs to the network and not to
what happens to be fastest on a machine, and as one operator each: what a backend keeps in registers is no traffic. The
activations hold the scores of attention, as fvcore counts them.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from fvcore.nn import jit_handles
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vrtspike.errors import ConfigError
from vrtspike.ops import OPERATORS, use_backends
from vrtspike.profiling.stages import innermost, listening
from vrtspike.records.stage_costs import CountedCost

COUNTED_BACKENDS = {'window_attention': 'reference', 'deform_conv2d': 'grid_sample'}


@dataclass
class StageCost:
    """What one stage, or the whole network, costs in one forward pass."""

    macs: int = 0
    """Multiply-accumulates of matrix products, convolutions, attention and interpolation."""
    activations: int = 0
    """Values that matrix products and convolutions put out."""
    bytes: int = 0
    """What all operators read and write, one by one; those of :mod:`vrtspike.ops` are one operator each."""
    parameters: int = 0
    """Of the parameters that the stage is the first to use."""

    def __add__(self, other: StageCost) -> StageCost:
        return StageCost(*(getattr(self, name) + getattr(other, name) for name in StageCost.__dataclass_fields__))


@dataclass
class Costs:
    """The counts of one forward pass."""

    stages: dict[str, StageCost] = field(default_factory=dict)
    """In the order the stages first ran; ``other`` holds what was outside of all of them."""
    parts: dict[str, StageCost] = field(default_factory=dict)
    """By ``stage/part``; what is here is in :attr:`stages` too."""
    elementwise: Counter[str] = field(default_factory=Counter)
    """Calls of operators without multiply-accumulates: elementwise ones, reductions, copies."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of operators that no rule covers; while there are any, the counts are a lower bound."""

    @property
    def total(self) -> StageCost:
        """Return the sum over all stages."""
        return sum(self.stages.values(), StageCost())

    def counted(self) -> dict[str, CountedCost]:
        """Return the counts by stage as records hold them."""
        return {
            name: CountedCost(
                gmacs=cost.macs / 1e9,
                parameters=cost.parameters,
                activations_m=cost.activations / 1e6,
                mib=round(cost.bytes / 2**20, 3),
            )
            for name, cost in self.stages.items()
        }

    def require_complete(self, what: str) -> None:
        """Raise :class:`ConfigError` where an operator was not counted, so that ``what`` would mislead."""
        if self.unknown:
            found = ', '.join(f'{name} ({calls} calls)' for name, calls in self.unknown.most_common())
            raise ConfigError(
                f'{what}: no rule counts {found}; write one into vrtspike.profiling.flops.MAC_RULES, or compare times'
            )


def count_costs(model: nn.Module, *inputs: Tensor, **named: Tensor) -> Costs:
    """Count one forward pass of ``model`` in eval mode.

    Args:
        model: Any network; stages are those that it marks. It is left as it is.
        *inputs: Positional arguments; tensors need only shape and dtype, and may live on the meta device.
        **named: Keyword arguments, likewise.
    """
    counter = _Counter(_on_meta(model))
    arguments = [_as_meta(value) for value in inputs]
    named = {name: _as_meta(value) for name, value in named.items()}
    with torch.no_grad(), _operators_told_to(counter), listening(counter), counter:
        counter.model(*arguments, **named)
    return counter.finish()


def count_restorer(model: nn.Module, shape: tuple[int, int, int], spike_ratio: float = 2) -> Costs:
    """Count a :class:`~vrtspike.models.SpikeRestorer` for one clip.

    Args:
        model: The restorer.
        shape: (T, H, W) of the clip.
        spike_ratio: How many times larger than the spikes' the frames' height and width are.

    Raises:
        ConfigError: The frames are no whole number of spike pixels.
    """
    frames, height, width = shape
    blur = torch.empty(1, frames, 3, height, width, device='meta')
    if not model.uses_spikes:
        return count_costs(model, blur)
    spike_size = [length / spike_ratio for length in (height, width)]
    if any(length != int(length) for length in spike_size):
        raise ConfigError(f'frames of {height}x{width} are no whole number of spike pixels at a ratio of {spike_ratio}')
    bins = model.spike_encoder.bins
    return count_costs(model, blur, torch.empty(1, frames, bins, *map(int, spike_size), device='meta'))


@contextmanager
def _operators_told_to(counter: _Counter) -> Iterator[None]:
    """Let the project's operators run by :data:`COUNTED_BACKENDS`, each as one call of ``counter``."""
    before = {name: OPERATORS[name].backends for name in COUNTED_BACKENDS}
    for name, backend in COUNTED_BACKENDS.items():
        plain = OPERATORS[name].find(backend)
        counted = replace(plain, run=functools.partial(counter.run_as_one, plain.run))
        OPERATORS[name].backends = tuple(counted if b is plain else b for b in before[name])
    try:
        with use_backends(**COUNTED_BACKENDS):
            yield
    finally:
        for name, backends in before.items():
            OPERATORS[name].backends = backends


class _Counter(TorchDispatchMode):
    """Hears stage markers and every operator between them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.costs = Costs()
        self.open: list[str] = []
        self.fused = False
        """Whether an operator of the project is running, inside of which nothing goes through memory."""
        self.unused = {p.untyped_storage()._cdata: p.numel() for p in model.parameters()}
        """Numbers of parameters that no stage has used so far, by their storage, which views share."""

    def forward_begins(self, name: str) -> None:
        self.open.append(name)

    def forward_ends(self, name: str) -> None:
        self.open.pop()

    def run_as_one(self, run: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run one of the project's operators; of the bytes, only its arguments' and its result's count."""
        self.fused = True
        out = run(*args, **kwargs)
        self.fused = False
        self.add(StageCost(bytes=_bytes_of([*args, *kwargs.values(), out])))
        return out

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count(func, [*args, *(kwargs or {}).values()], out)
        return out

    def count(self, func: Any, arguments: list, out: Any) -> None:
        """Add one call to what is open."""
        cost = StageCost(parameters=sum(self.unused.pop(t.untyped_storage()._cdata, 0) for t in _tensors(arguments)))
        if not _is_view(func):
            name = func._schema.name
            outputs = list(_tensors([out]))
            cost.bytes = 0 if self.fused else _bytes_of([*arguments, *outputs])
            if name in MAC_RULES:
                macs = MAC_RULES[name]([_Value(a) for a in arguments], [_Value(t) for t in outputs])
                cost.macs = int(sum(macs.values()) if isinstance(macs, Counter) else macs)
                cost.activations = outputs[0].numel() if name in PRODUCTS else 0
            elif name in WITHOUT_MACS or torch.Tag.pointwise in func.tags:
                self.costs.elementwise[name] += 1
            else:
                self.costs.unknown[name] += 1
        self.add(cost)

    def add(self, cost: StageCost) -> None:
        """Add a cost to the stage and the part that are open."""
        stage, part = innermost(self.open)
        stage = stage or 'other'
        for place, costs in ((stage, self.costs.stages), (part and f'{stage}{part}', self.costs.parts)):
            if place:
                costs[place] = costs.get(place, StageCost()) + cost

    def finish(self) -> Costs:
        """Return the counts; parameters that nothing used are the rest's."""
        stages = self.costs.stages
        stages['other'] = stages.pop('other', StageCost()) + StageCost(parameters=sum(self.unused.values()))
        return self.costs


class _Value:
    """A value as fvcore's rules ask for it, which were written for the values of a TorchScript graph."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def isCompleteTensor(self) -> bool:
        return isinstance(self.value, Tensor)

    def type(self) -> _Value:
        return self

    def sizes(self) -> list[int]:
        return list(self.value.shape)

    def toIValue(self) -> Any:
        return self.value


Rule = Callable[[list[_Value], list[_Value]], int | Counter]


def _attention_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    """Two products for every pair of tokens: (B, heads, L, E) x (B, heads, S, E), then with values of width E_v."""
    query, key, value = (v.sizes() for v in inputs[:3])
    batch_and_heads = query[0] * query[1]
    return batch_and_heads * query[-2] * key[-2] * (query[-1] + value[-1])


def _convolution_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    transposed = inputs[6].toIValue()
    return jit_handles.conv_flop_count(*(v.sizes() for v in (inputs[0], inputs[1], outputs[0])), transposed)


def _batched_product_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    return jit_handles.bmm_flop_jit(inputs[1:3], outputs)


FUSED_ATTENTION = {
    f'aten::_scaled_dot_product_{kind}'
    for kind in ('flash_attention', 'flash_attention_for_cpu', 'efficient_attention', 'cudnn_attention')
} | {'aten::_scaled_dot_product_fused_attention_overrideable', 'aten::_scaled_dot_product_attention_math'}

PRODUCTS: dict[str, Rule] = {
    'aten::convolution': _convolution_macs,
    'aten::addmm': jit_handles.addmm_flop_jit,
    'aten::mm': jit_handles.matmul_flop_jit,
    'aten::bmm': jit_handles.bmm_flop_jit,
    'aten::baddbmm': _batched_product_macs,
    'aten::linear': jit_handles.linear_flop_jit,
    **dict.fromkeys(FUSED_ATTENTION, _attention_macs),
}
"""Matrix products, convolutions and attention."""

MAC_RULES: dict[str, Rule] = {
    **PRODUCTS,
    # Interpolation weighs as many values as an output has neighbours.
    'aten::grid_sampler_2d': jit_handles.elementwise_flop_counter(0, 4),
    'aten::grid_sampler_3d': jit_handles.elementwise_flop_counter(0, 8),
    'aten::upsample_bilinear2d': jit_handles.elementwise_flop_counter(0, 4),
    'aten::upsample_trilinear3d': jit_handles.elementwise_flop_counter(0, 8),
    'aten::avg_pool2d': jit_handles.elementwise_flop_counter(1, 0),
}
"""From (inputs, outputs) of an operator, by the name in its schema, to its MACs."""

WITHOUT_MACS = {f'aten::{name}' for name in (
    'native_layer_norm', 'native_group_norm', 'native_batch_norm', '_native_batch_norm_legit', 'cudnn_batch_norm',
    '_softmax', '_log_softmax', '_safe_softmax', 'mean', 'sum', 'cumsum', 'amax', 'amin', 'max', 'min', 'prod',
    'linalg_vector_norm', 'logsumexp', 'var_mean',
    'cat', 'stack', 'clone', 'copy_', '_to_copy', 'contiguous', 'constant_pad_nd', 'replication_pad2d',
    'reflection_pad2d', 'roll', 'flip', 'index', 'index_select', 'gather', 'scatter', 'index_put', 'repeat',
    '_unsafe_view', 'repeat_interleave', 'select_scatter', 'slice_scatter', 'pixel_shuffle', 'pixel_unshuffle',
    'upsample_nearest2d',
    'upsample_nearest3d', 'max_pool2d_with_indices', 'fill_', 'zero_', 'tril', 'triu', 'masked_fill', 'where',
    'empty', 'empty_like', 'empty_strided', 'new_empty', 'zeros', 'zeros_like', 'new_zeros', 'ones', 'ones_like',
    'new_ones', 'full', 'full_like', 'new_full', 'arange', 'linspace', 'scalar_tensor', 'lift_fresh', 'lift_fresh_copy',
    'bernoulli', 'bernoulli_', 'native_dropout', 'sort', 'topk', 'argmax', 'detach',
)}  # fmt: skip
"""Operators that move, create, sum up or normalise values; what is tagged pointwise needs no mention."""


def _bytes_of(values: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in _tensors(values))


def _is_view(func: Any) -> bool:
    """Return whether an operator only looks at its input in another shape."""
    returned = func._schema.returns
    return bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _on_meta(model: nn.Module) -> nn.Module:
    """Return a copy of the network without values."""
    memo = {id(p): nn.Parameter(p.detach().to('meta'), requires_grad=False) for p in model.parameters()}
    memo |= {id(b): b.to('meta') for b in model.buffers()}
    return copy.deepcopy(model, memo).eval()


def _as_meta(value: Any) -> Any:
    return value.to('meta') if isinstance(value, Tensor) else value
