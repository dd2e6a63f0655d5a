"""Counts multiply-accumulates, activations, bytes and parameters of a network by stage.

The network runs on the meta device, where tensors have shapes but no values, so any size takes seconds and no memory.
Every operator is counted by fvcore's rules (one fused multiply-add is one MAC) for the stage whose marker is open. This
counter is our own because fvcore's ``FlopCountAnalysis`` needs ``torch.jit.trace``, which cannot trace meta tensors and
is deprecated, and torch's ``FlopCounterMode`` counts neither interpolation nor attention on a CPU. Tests compare all
three.

A network whose code reads values, by ``Tensor.item()`` for example, cannot run on the meta device:
:func:`count_costs` raises :class:`CannotCount`, and :func:`count_with_values` counts a real forward pass on the CPU.

Registered operators (see :mod:`vrtspike.profiling.fused_operators`) count as one operator each: values that
they keep in registers are no memory traffic. Activations include the scores of attention, as in fvcore.
"""

from __future__ import annotations

import copy
import math
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from fvcore.nn import jit_handles
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from vrtspike.errors import VrtSpikeError, describe
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
    """Bytes that the operators read and write, summed over all operators."""
    parameters: int = 0
    """Parameters that no earlier stage uses."""

    def __add__(self, other: StageCost) -> StageCost:
        return StageCost(*(getattr(self, name) + getattr(other, name) for name in StageCost.__dataclass_fields__))


@dataclass
class Costs:
    """The counts of one forward pass."""

    stages: dict[str, StageCost] = field(default_factory=dict)
    """In the order in which the stages first ran. ``other`` is everything outside of them."""
    parts: dict[str, StageCost] = field(default_factory=dict)
    """By ``<stage>/<part>``; also included in :attr:`stages`."""
    elementwise: Counter[str] = field(default_factory=Counter)
    """Calls of operators without multiply-accumulates, such as elementwise operators, reductions and copies."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of operators without a rule. If there are any, the counts are lower bounds."""
    clip_shape: tuple[int, int, int] | None = None
    """(T, H, W) of the clip, if the input was one."""
    clips: int = 1
    """Clips in the input."""
    note: str | None = None
    """A limitation of the counts, for the user."""

    @property
    def total(self) -> StageCost:
        """Return the sum over all stages."""
        return sum(self.stages.values(), StageCost())

    def counted(self) -> dict[str, CountedCost]:
        """Return the counts for one clip by stage in the form of records."""
        return {
            name: CountedCost(
                gmacs=cost.macs / 1e9 / self.clips,
                parameters=cost.parameters,
                activations_m=cost.activations / 1e6 / self.clips,
                mib=round(cost.bytes / MIB / self.clips, 3),
            )
            for name, cost in self.stages.items()
        }


class CannotCount(VrtSpikeError):
    """A network cannot be run for counting. The message names the module and the reason."""


def count_costs(model: nn.Module, *inputs: Tensor, **named: Tensor) -> Costs:
    """Count one forward pass of ``model`` in eval mode, on the meta device.

    Args:
        model: Any network that marks its stages. It is not changed.
        *inputs: Positional arguments. Only shape and dtype of tensors matter, so they may be on the meta device.
        **named: Keyword arguments.

    Raises:
        CannotCount: The network cannot be copied, or its code needs values.
    """
    return _count('meta', model, inputs, named)


def count_with_values(model: nn.Module, *inputs: Tensor, **named: Tensor) -> Costs:
    """Count like :func:`count_costs`, but in a real forward pass on the CPU, with zeros in place of meta tensors."""
    with torch.random.fork_rng(devices=[]):  # counting must not change the random numbers of a training
        return _count('cpu', model, inputs, named)


def _count(device: str, model: nn.Module, inputs: tuple, named: dict[str, Any]) -> Costs:
    inputs, named = tree_map_only(Tensor, lambda tensor: _moved(tensor, device), (inputs, named))
    try:
        counter = MacCounter(copy_to(device, model))
        with torch.no_grad(), fused_operators(counter.run_as_one), listening(counter), counter:
            counter.model(*inputs, **named)
    except VrtSpikeError:
        raise
    except Exception as error:  # any code of a plugin may have run
        raise CannotCount(f'{_innermost_module(model, error)}: {describe(error)}') from error
    return counter.finish()


def copy_to(device: str, model: nn.Module) -> nn.Module:
    """Return a copy of a network on ``device``, in eval mode and without gradients."""
    memo = {id(p): nn.Parameter(_moved(p.detach(), device), requires_grad=False) for p in model.parameters()}
    memo |= {id(b): _moved(b, device) for b in model.buffers()}
    return copy.deepcopy(model, memo).eval()


def _moved(tensor: Tensor, device: str) -> Tensor:
    if tensor.is_meta and device != 'meta':
        return torch.zeros_like(tensor, device=device)
    return tensor.to(device, copy=device != 'meta')


def _innermost_module(model: nn.Module, error: Exception) -> str:
    """Return the name and the class of the innermost module that was running when ``error`` was raised."""
    innermost = model
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if isinstance(frame.f_locals.get('self'), nn.Module):
            innermost = frame.f_locals['self']
    names = [name for name, module in model.named_modules() if type(module) is type(innermost)]
    return f'{type(innermost).__name__} ({names[0]})' if names and names[0] else type(innermost).__name__


class MacCounter(TorchDispatchMode):
    """Listens to stage markers and to every operator between them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.costs = Costs()
        self.open: list[str] = []
        self.fused = False
        """Whether a registered operator is running. Operators inside of it count no bytes."""
        self.results = _Results()
        self.unused = {_storage(p): p.numel() for p in model.parameters()}
        """Sizes of the parameters that no stage has used so far, by storage, because views share it."""

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
        kwargs = kwargs or {}
        tensors = list(_tensors([args, *kwargs.values()]))
        if any(t.is_meta for t in tensors):  # what the network puts on another device is moved to the meta device
            if not all(t.is_meta for t in tensors):
                args, kwargs = tree_map_only(Tensor, lambda t: t.to('meta') if t.ndim else t, (args, kwargs))
            if kwargs.get('device') is not None:
                kwargs['device'] = torch.device('meta')
        out = self.results.run(func, args, kwargs)
        self.count(func, [*args, *kwargs.values()], out)
        return out

    def count(self, func: Any, arguments: list, out: Any) -> None:
        """Add one call to the open stage and part."""
        cost = StageCost(parameters=sum(self.unused.pop(_storage(t), 0) for t in _tensors(arguments)))
        if not _is_view(func):
            name = func._schema.name
            outputs = list(_tensors([out]))
            cost.bytes = 0 if self.fused else _bytes_of([*arguments, *outputs])
            macs = self.macs(func, arguments, out)
            if macs is not None:
                cost.macs = macs
                cost.activations = outputs[0].numel() if name in PRODUCTS else 0
            elif name in WITHOUT_MACS or torch.Tag.pointwise in func.tags:
                self.costs.elementwise[name] += 1
            else:
                self.costs.unknown[name] += 1
        self.add(cost)

    def macs(self, func: Any, arguments: list, out: Any) -> int | None:
        """Return the MACs of a call, or None if no rule counts them."""
        rule = MAC_RULES.get(func._schema.name)
        if rule is None:
            return None
        try:
            macs = rule([_Value(a) for a in arguments], [_Value(t) for t in _tensors([out])])
        except Exception:  # fvcore's rules assert what they expect of their arguments
            return None
        return int(sum(macs.values()) if isinstance(macs, Counter) else macs)

    def add(self, cost: StageCost) -> None:
        """Add a cost to the open stage and part."""
        stage, part = innermost(self.open)
        stage = stage or 'other'
        for name, costs in ((stage, self.costs.stages), (part and f'{stage}{part}', self.costs.parts)):
            if name:
                costs[name] = costs.get(name, StageCost()) + cost

    def finish(self) -> Costs:
        """Return the counts. Unused parameters belong to ``other``."""
        stages = self.costs.stages
        stages['other'] = stages.pop('other', StageCost()) + StageCost(parameters=sum(self.unused.values()))
        return self.costs


class _Results:
    """Runs operators, and reuses their results for meta tensors of the same shapes.

    On the meta device many operators are slow Python code, and networks call them hundreds of times with equal shapes.
    """

    def __init__(self) -> None:
        self.known: dict[Hashable, Callable[[tuple], Any]] = {}

    def run(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Return the result of an operator."""
        key = None if _is_view(func) else _signature((func, *args, *kwargs.items()))
        if key in self.known:
            return self.known[key](args)
        out = func(*args, **kwargs)
        repeat = _repeated(func, key[1:2], args, out) if key is not None else None
        if repeat is not None:
            self.known[key] = repeat
        return out


def _signature(value: Any) -> Hashable | None:
    """Return what determines the shape and dtype of an operator's result, or None if that is unknown."""
    if isinstance(value, Tensor):
        plain = type(value) in (Tensor, nn.Parameter) and value.is_meta and value.layout == torch.strided
        return (value.shape, value.stride(), value.dtype) if plain else None
    if isinstance(value, (tuple, list)):
        each = tuple(_signature(one) for one in value)
        return None if None in each else each
    try:
        hash(value)
    except TypeError:
        return None
    return type(value), value


def _repeated(func: Any, first: tuple, args: tuple, out: Any) -> Callable[[tuple], Any] | None:
    """Return a function from an operator's arguments to a result like ``out``, or None if the operator must run again.

    Args:
        func: The operator.
        first: The signature of its first argument, from before the call; empty without arguments.
        args: Its arguments.
        out: What it returned.
    """
    if func._schema.is_mutable:
        return (lambda args: args[0]) if args and out is args[0] and (_signature(out),) == first else None
    alone = isinstance(out, Tensor)
    results = (out,) if alone else out
    if not isinstance(results, tuple) or None in map(_signature, results):
        return None
    # The backward pass of a frozen layer returns None in place of the gradient of its weight.
    shapes = [_signature(result) if isinstance(result, Tensor) else None for result in results]

    def repeat(_: tuple) -> Any:
        new = [shape and torch.empty_strided(*shape[:2], dtype=shape[2], device='meta') for shape in shapes]
        return new[0] if alone else tuple(new)

    return repeat


class _Value:
    """A value with those methods of a TorchScript value that fvcore's rules call."""

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
    *batch, queries, channels = inputs[0].sizes()
    keys, value_channels = inputs[2].sizes()[-2:]
    return math.prod(batch) * queries * keys * (channels + value_channels)


def _convolution_macs(inputs: list[_Value], outputs: list[_Value]) -> int:
    shapes = (value.sizes() for value in (inputs[0], inputs[1], outputs[0]))
    return jit_handles.conv_flop_count(*shapes, transposed=inputs[6].toIValue())


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
native_dropout sort topk argmax detach nll_loss_forward nll_loss2d_forward embedding _adaptive_avg_pool2d
_adaptive_avg_pool3d std var im2col col2im one_hot
"""

WITHOUT_MACS = {f'aten::{name}' for name in _NAMES_WITHOUT_MACS.split()}
"""Operators that move, create, reduce or normalise values. Operators tagged as pointwise need no entry."""


def _bytes_of(values: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in _tensors(values))


def _storage(tensor: Tensor) -> int | None:
    """Return an identifier of a tensor's storage, or None for sparse tensors, which have none."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else None


@lru_cache(maxsize=1024)
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
