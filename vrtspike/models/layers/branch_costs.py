"""What activation checkpointing of a branch of an attention block frees, and what its recomputation costs.

Both are measured on a map of the real size, for one branch at a time. The network itself does not run, and nothing
draws a random number: stochastic depth is outside of the branches.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import _disable_current_modes, _len_torch_dispatch_stack

from vrtspike.models.layers.attention import effective_window
from vrtspike.models.layers.blocks import AttentionBlock, parameters
from vrtspike.models.layers.checkpointing import POLICIES, attention_blocks
from vrtspike.runtime.device import call_seconds

REPETITIONS = 3
"""Timed recomputations of a branch; the fastest counts."""


class BlockGroup(NamedTuple):
    """A part of a network with attention blocks, and the maps that these take."""

    module: nn.Module
    divisor: int
    """Of the clip's height and width."""
    dtype: torch.dtype


class Branch(NamedTuple):
    """A branch of an attention block, and the map that it takes."""

    block: AttentionBlock
    name: str
    """'attn' or 'ffn'."""
    shape: tuple[int, ...]
    """(B, T, H, W, C)."""
    dtype: torch.dtype

    @property
    def kind(self) -> Hashable:
        """What branches must have in common to cost the same."""
        block = self.block
        modules = (block.norm1, block.attn) if self.name == 'attn' else (block.norm2, block.mlp)
        weights = tuple((weight.shape, weight.dtype, weight.requires_grad) for weight in parameters(*modules))
        if self.name == 'ffn':
            return self.shape, self.dtype, weights
        return self.shape, self.dtype, weights, effective_window(self.shape[1:4], block.attn.window, block.shift)

    @property
    def share_computed(self) -> float:
        """The expected share of samples that stochastic depth does not drop."""
        return 1 - self.block.drop_path.rate

    def apply(self, recomputed: bool) -> None:
        """Let the backward pass recompute this branch, or not."""
        setattr(self.block, f'checkpoint_{self.name}', recomputed)


class BranchCost(NamedTuple):
    """Memory and work of a branch in one iteration."""

    saved_bytes: int
    """What the forward pass saves if the branch is not recomputed."""
    input_bytes: int
    """What it saves otherwise: the input alone."""
    work: float
    """Of recomputing the branch, in any unit."""

    @property
    def freed_bytes(self) -> int:
        """Return what recomputing saves less; not positive for a branch that saves little."""
        return self.saved_bytes - self.input_bytes


def branches_of(groups: Sequence[BlockGroup], size: tuple[int, ...]) -> Iterator[Branch]:
    """Yield the branches of all attention blocks for clips (B, T, H, W)."""
    batch, frames, height, width = size
    for module, divisor, dtype in groups:
        for block in attention_blocks(module):
            shape = (batch, frames, height // divisor, width // divisor, block.norm1.normalized_shape[0])
            yield Branch(block, 'attn', shape, dtype)
            yield Branch(block, 'ffn', shape, dtype)


Measure = Callable[[Branch, torch.device], BranchCost]
"""Measures a branch on a device: :func:`timed` or :func:`counted`."""


def branch_costs(branches: Sequence[Branch], device: torch.device, measure: Measure) -> list[BranchCost]:
    """Return the cost of every branch, measured once for each kind."""
    known: dict[Hashable, BranchCost] = {}
    for branch in branches:
        if branch.kind not in known:
            known[branch.kind] = measure(branch, device)
    return [known[branch.kind] for branch in branches]


def can_be_timed(branches: Sequence[Branch], like: Tensor) -> bool:
    """Return whether the time of branches can be measured now.

    It cannot on fake or meta tensors and under dispatch modes, such as counters. Compiled blocks are not timed either:
    a trial runs a copy, which is not compiled.
    """
    real = type(like) in (Tensor, nn.Parameter) and not like.is_meta and not _len_torch_dispatch_stack()
    return real and not any(branch.block.compiled for branch in branches)


def timed(branch: Branch, device: torch.device) -> BranchCost:
    """Measure a branch; its work is in milliseconds."""
    return Trial(branch, device).cost(lambda trial: 1e3 * min(trial.seconds() for _ in range(REPETITIONS)))


def counted(branch: Branch, device: torch.device) -> BranchCost:
    """Measure a branch; its work is in GMAC, so the result is always the same."""
    return Trial(branch, device).cost(lambda _: recomputed_gmacs(branch))


class Trial:
    """Runs a branch on a map without meaning, as an iteration would.

    Args:
        branch: It is copied: the trial leaves no trace in it.
        device: Where it runs.
    """

    def __init__(self, branch: Branch, device: torch.device) -> None:
        block = copy_to(device, branch.block)
        token = torch.linspace(-1, 1, branch.shape[-1], device=device, dtype=branch.dtype)
        self.x = token.repeat(*branch.shape[:-1], 1).requires_grad_()
        self.saves = 0
        """Number of tensors that the branch saves."""
        with own_precision(device):
            self.function = block.branches(self.x)[branch.name == 'ffn']

    def cost(self, work: Callable[[Trial], float]) -> BranchCost:
        """Return what the branch costs; ``work(self)`` is called after a first run, which may compile kernels."""
        saved = self.saved_bytes()
        size = self.x.numel() * self.x.element_size()
        return BranchCost(saved, size, work(self))

    def saved_bytes(self) -> int:
        """Run the branch once and return the bytes that exist only because they are saved.

        Weights, their copies in the type of autocast, and cached tables exist anyway.
        """
        storages: dict[int, tuple[weakref.ref, int]] = {}
        self.saves = 0

        def pack(tensor: Tensor) -> Tensor:
            self.saves += 1
            storage = tensor.untyped_storage()
            storages[storage._cdata] = weakref.ref(storage), storage.nbytes()
            return tensor.detach()  # a result that held itself would never be freed

        out = self.run(pack)
        del out
        own = self.x.untyped_storage()._cdata
        return sum(size for key, (storage, size) in storages.items() if storage() is None or key == own)

    def seconds(self) -> float:
        """Return how long the backward pass needs to recompute the branch."""
        return call_seconds(self.recompute, self.x.device)

    def recompute(self) -> None:
        """Run the branch up to the last tensor that it saves, where ``torch.utils.checkpoint`` stops too."""
        missing = self.saves

        def pack(tensor: Tensor) -> Tensor:
            nonlocal missing
            missing -= 1
            if not missing:
                raise _AllSaved
            return tensor.detach()

        with suppress(_AllSaved):
            self.run(pack)

    def run(self, pack: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the result of the branch with its graph, which saves what ``pack`` returns."""
        with torch.enable_grad(), own_precision(self.x.device), saved_tensors_hooks(pack, lambda tensor: tensor):
            return self.function(self.x, 1.0)


class _AllSaved(Exception):
    """The branch has saved its last tensor."""


def recomputed_gmacs(branch: Branch) -> float:
    """Return the multiply-accumulates of recomputing a branch, in 10^9."""
    from vrtspike.profiling.recomputation import recomputed_macs  # imports fvcore, which few networks need

    meta = torch.device('meta')
    with _disable_current_modes():
        block = copy_to(meta, branch.block)
        block.checkpoint_attn, block.checkpoint_ffn = POLICIES[branch.name]
        return sum(recomputed_macs(block, torch.empty(branch.shape, device=meta)).values()) / 1e9


def copy_to(device: torch.device, block: AttentionBlock) -> AttentionBlock:
    """Return a copy that is not compiled and shares the weights.

    Zeros take their place where they are sharded, because gathering them would need all processes.
    """
    memo: dict[int, object] = {
        id(weight): nn.Parameter(_values(weight, device), requires_grad=weight.requires_grad)
        for weight in block.parameters()
    }
    memo |= {id(buffer): _values(buffer, device) for buffer in block.buffers()}
    return copy.deepcopy(block, memo)


def _values(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the values of a tensor without its history; zeros if it is sharded, or on the meta device."""
    if device.type == 'meta' or isinstance(tensor, DTensor):
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
    return tensor.detach()


def own_precision(device: torch.device) -> AbstractContextManager:
    """Return a context that computes as now, but keeps no copies of weights for later calls.

    Recomputation casts the weights again too.
    """
    kind = device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, torch.get_autocast_dtype(kind), cache_enabled=False)
