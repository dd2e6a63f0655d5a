"""Counts multiply-accumulates, activations, bytes and parameters of a network by stage.

The network runs on the meta device, where tensors have shapes but no values, so any size takes seconds. Every operator
is counted by fvcore's rules (one fused multiply-add is one MAC) for the stage whose marker is open. Where fvcore's rule
does not fit an operator's arguments, the formula of ``torch.utils.flop_counter`` counts. This counter is our own
because fvcore's ``FlopCountAnalysis`` needs ``torch.jit.trace``, which cannot trace meta tensors and is deprecated, and
torch's ``FlopCounterMode`` counts neither interpolation nor attention on a CPU. Tests compare all three.

Registered operators (see :mod:`vrtspike.profiling.fused_operators`) count as one operator each: what they keep in
registers is no memory traffic. Activations include the scores of attention, as in fvcore.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from fvcore.nn import jit_handles
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import baddbmm_flop, conv_flop_count, sdpa_flop_count

from vrtspike.errors import ConfigError
from vrtspike.profiling.fused_operators import fused_operators
from vrtspike.profiling.stages import innermost, listening
from vrtspike.records.stage_costs import CountedCost
from vrtspike.runtime.device import MIB


@dataclass
class StageCost:
    """The cost of a stage or of the whole network in one forward pass."""

    macs: int = 0
    """Multiply-accumulates of matrix products, convolutions, attention and interpolation."""
    activations: int = 0
    """Values in the outputs of matrix products and convolutions."""
    bytes: int = 0
    """Read and written by all operators, one by one."""
    parameters: int = 0
    """Of the parameters that this stage uses first."""

    def __add__(self, other: StageCost) -> StageCost:
        return StageCost(*(getattr(self, name) + getattr(other, name) for name in StageCost.__dataclass_fields__))


@dataclass
class Costs:
    """The counts of one forward pass."""

    stages: dict[str, StageCost] = field(default_factory=dict)
    """In the order the stages first ran. ``other`` is everything outside of them."""
    parts: dict[str, StageCost] = field(default_factory=dict)
    """By ``<stage>/<part>``; also included in :attr:`stages`."""
    elementwise: Counter[str] = field(default_factory=Counter)
    """Calls of operators without multiply-accumulates, such as elementwise operators, reductions and copies."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of operators without a rule. If there are any, the counts are lower bounds."""

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
                mib=round(cost.bytes / MIB, 3),
            )
            for name, cost in self.stages.items()
        }

    def require_complete(self, what: str) -> None:
        """Raise :class:`ConfigError` if an operator was not counted, because ``what`` would then mislead."""
        if self.unknown:
            found = ', '.join(f'{name} ({calls} calls)' for name, calls in self.unknown.most_common())
            raise ConfigError(
                f'{what}: no rule counts {found}; write one into vrtspike.profiling.flops.MAC_RULES, or compare times'
            )


def count_costs(model: nn.Module, *inputs: Tensor, **named: Tensor) -> Costs:
    """Count one forward pass of ``model`` in eval mode.

    Args:
        model: Any network that marks its stages. It is not changed.
        *inputs: Positional arguments. Only shape and dtype of tensors matter, so they may be on the meta device.
        **named: Keyword arguments.
    """
    counter = _Counter(meta_copy(model))
    arguments = [_as_meta(value) for value in inputs]
    named = {name: _as_meta(value) for name, value in named.items()}
    with torch.no_grad(), fused_operators(counter.run_as_one), listening(counter), counter:
        counter.model(*arguments, **named)
    return counter.finish()


class _Counter(TorchDispatchMode):
    """Listens to stage markers and to every operator between them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.costs = Costs()
        self.open: list[str] = []
        self.fused = False
        """Whether a registered operator is running, inside of which nothing goes through memory."""
        self.unused = {p.untyped_storage()._cdata: p.numel() for p in model.parameters()}
        """Sizes of the parameters that no stage has used so far, by their storage, which views share."""

    def forward_begins(self, name: str) -> None:
        self.open.append(name)

    def forward_ends(self, name: str) -> None:
        self.open.pop()

    def run_as_one(self, run: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run a registered operator. Its bytes are those of its arguments and its result."""
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
        """Add one call to the open stage and part."""
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
        """Add a cost to the open stage and part."""
        stage, part = innermost(self.open)
        stage = stage or 'other'
        for place, costs in ((stage, self.costs.stages), (part and f'{stage}{part}', self.costs.parts)):
            if place:
                costs[place] = costs.get(place, StageCost()) + cost

    def finish(self) -> Costs:
        """Return the counts. Unused parameters belong to ``other``."""
        stages = self.costs.stages
        stages['other'] = stages.pop('other', StageCost()) + StageCost(parameters=sum(self.unused.values()))
        return self.costs


class _Value:
    """A value with the methods of a TorchScript value, which fvcore's rules call."""

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
    return sdpa_flop_count(*(value.sizes() for value in inputs[:3])) // 2


def _convolution_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    transposed = inputs[6].toIValue()
    return conv_flop_count(*(value.sizes() for value in (inputs[0], inputs[1], outputs[0])), transposed) // 2


def _batched_product_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    return baddbmm_flop(*(value.sizes() for value in inputs[:3])) // 2


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
    # Every output of an interpolation is a weighted sum of its neighbours. torch has no formulas for these.
    'aten::grid_sampler_2d': jit_handles.elementwise_flop_counter(0, 4),
    'aten::grid_sampler_3d': jit_handles.elementwise_flop_counter(0, 8),
    'aten::upsample_bilinear2d': jit_handles.elementwise_flop_counter(0, 4),
    'aten::upsample_trilinear3d': jit_handles.elementwise_flop_counter(0, 8),
    'aten::avg_pool2d': jit_handles.elementwise_flop_counter(1, 0),
}
"""Functions from (inputs, outputs) of an operator to its MACs, by the name in its schema."""

_NAMES_WITHOUT_MACS = """
native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit cudnn_batch_norm _softmax
_log_softmax _safe_softmax mean sum cumsum amax amin max min prod linalg_vector_norm logsumexp var_mean cat
stack clone copy_ _to_copy contiguous constant_pad_nd replication_pad2d reflection_pad2d roll flip index
index_select gather scatter index_put repeat _unsafe_view repeat_interleave select_scatter slice_scatter
pixel_shuffle pixel_unshuffle upsample_nearest2d upsample_nearest3d max_pool2d_with_indices fill_ zero_ tril
triu masked_fill where empty empty_like empty_strided new_empty zeros zeros_like new_zeros ones ones_like
new_ones full full_like new_full arange linspace scalar_tensor lift_fresh lift_fresh_copy bernoulli bernoulli_
native_dropout sort topk argmax detach
"""

WITHOUT_MACS = {f'aten::{name}' for name in _NAMES_WITHOUT_MACS.split()}
"""Operators that move, create, reduce or normalise values. Operators tagged as pointwise need no entry."""


def _bytes_of(values: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in _tensors(values))


def _is_view(func: Any) -> bool:
    """Whether an operator only returns a view of its input."""
    returned = func._schema.returns
    return bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a network on the meta device, in eval mode and without gradients."""
    memo = {id(p): nn.Parameter(p.detach().to('meta'), requires_grad=False) for p in model.parameters()}
    memo |= {id(b): b.to('meta') for b in model.buffers()}
    return copy.deepcopy(model, memo).eval()


def _as_meta(value: Any) -> Any:
    return value.to('meta') if isinstance(value, Tensor) else value
