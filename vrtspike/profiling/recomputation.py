"""Counts the multiply-accumulates that activation checkpointing repeats in the backward pass."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

from vrtspike.profiling.flops import MacCounter, copy_to
from vrtspike.profiling.fused_operators import fused_operators
from vrtspike.profiling.stages import listening
from vrtspike.profiling.timer import HostClock, StageTimer


def recomputed_macs(model: nn.Module, *inputs: Tensor, **named: Tensor) -> dict[str, int]:
    """Return by stage what the backward pass of a network computes again, in multiply-accumulates.

    A forward and a backward pass run on the meta device. What runs forward within the backward pass is recomputed: also
    checkpointing stops as early there as in a training. What a fused operator repeats in its own backward pass is not
    counted.

    Args:
        model: Any network that marks its stages, in any mode: it is not changed.
        *inputs: Positional arguments. Only their shapes and types matter.
        **named: Keyword arguments.

    Raises:
        Exception: Whatever code of the network raises because it needs values.
    """
    inputs, named = tree_map_only(Tensor, lambda tensor: tensor.to('meta'), (inputs, named))
    copied = copy_to('meta', model)
    for parameter, original in zip(copied.parameters(), model.parameters(), strict=True):
        parameter.requires_grad_(original.requires_grad)
    counter = _RecomputedMacs(copied)
    counter.timer.start('other')
    with torch.enable_grad(), warnings.catch_warnings(), fused_operators(counter.run_as_one):
        warnings.filterwarnings('ignore', 'None of the inputs have requires_grad')
        with listening(counter.timer), counter:
            outputs = tree_leaves(copied(*inputs, **named))
            sums = [out.sum() for out in outputs if isinstance(out, Tensor) and out.requires_grad]
            if sums:
                torch.autograd.backward(sums)
    return dict(counter.recomputed)


class _RecomputedMacs(MacCounter):
    """Counts only what runs forward within the backward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.timer = StageTimer(HostClock())
        """Knows which stage is open."""
        self.recomputed: Counter[str] = Counter()

    def run_as_one(self, run: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run an operator with an opaque backward pass, because its reference may use checkpointing itself."""
        leaves, spec = tree_flatten((args, kwargs))
        self.fused = _recomputes()
        try:
            return _Opaque.apply(run, spec, *leaves)
        finally:
            self.fused = False

    def count(self, func: Any, arguments: list, out: Any) -> None:
        """Add one call to the open stage if it is a recomputation."""
        if self.fused or _recomputes():
            self.recomputed[self.timer.marks[-1][1].stage] += self.macs(func, arguments, out) or 0


def _recomputes() -> bool:
    """Whether forward code is running within a backward pass, which itself runs without gradients."""
    return torch._C._current_graph_task_id() != -1 and torch.is_grad_enabled()


class _Opaque(torch.autograd.Function):
    """An operator that saves its inputs, and whose gradients have no values, as on the meta device."""

    @staticmethod
    def forward(ctx, run: Callable[..., Tensor], spec: Any, *leaves: Any) -> Tensor:
        ctx.save_for_backward(*(leaf for leaf in leaves if isinstance(leaf, Tensor)))
        ctx.tensors = [isinstance(leaf, Tensor) for leaf in leaves]
        args, kwargs = tree_unflatten(leaves, spec)
        return run(*args, **kwargs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        saved = iter(ctx.saved_tensors)
        grads = (torch.empty_like(next(saved)) if is_tensor else None for is_tensor in ctx.tensors)
        return None, None, *(grad if grad is not None and grad.is_floating_point() else None for grad in grads)
