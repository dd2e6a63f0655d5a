"""Chooses the branches that activation checkpointing recomputes, so that what is saved fits a memory budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.models.layers.branch_costs import (
    BlockGroup,
    Branch,
    BranchCost,
    branch_costs,
    branches_of,
    can_be_timed,
    counted,
    timed,
)
from vrtspike.runtime.device import MIB, free_memory

SHARE_OF_FREE_MEMORY = 1 / 3
"""What attention blocks may save without a budget. Alignment, gradients and the optimizer need the rest: on paper
20 GiB for two clips of 5 x 256 x 256 in ``configs/vrt_spike_fast.py``, whose training then fits on 40 GB."""


class Case(NamedTuple):
    """What a choice depends on."""

    size: tuple[int, ...]
    """(B, T, H, W)."""
    autocast: bool
    trained: tuple[bool, ...]
    """Of every weight: frozen ones need fewer activations."""

    def __str__(self) -> str:
        return f'clips {" x ".join(map(str, self.size))}{", autocast" * self.autocast}'


class Choice(NamedTuple):
    """What is recomputed in one case."""

    recomputed: tuple[bool, ...]
    """Of every branch."""
    saved_mib: float
    """Activations that the branches save for the backward pass."""
    budget_mib: float
    work: float
    """Expected of the recomputation in one iteration. Stochastic depth recomputes no branch that it drops."""
    unit: str
    """Of the work."""

    def __str__(self) -> str:
        parts = (
            f'{sum(self.recomputed)} of {len(self.recomputed)} branches are recomputed',
            f'they save {self.saved_mib:,.1f} MiB of the {self.budget_mib:,.1f} MiB allowed',
            f'about {self.work:.3g} {self.unit} more per iteration',
        )
        return '; '.join(parts)


class MemoryFit:
    """Recomputes what is cheap and saves what is dear, within a budget; chooses once for each :class:`Case`.

    The attention and the MLP of every block are chosen by themselves. For every kind of branch, the saved bytes and the
    time of recomputation are measured on a map of the real size (:mod:`vrtspike.models.layers.branch_costs`). Where
    nothing can be timed (fake tensors, compiled blocks), multiply-accumulates stand for the time. Gradients do not
    depend on the choice, but for rounding on GPUs, so processes of one training may choose differently.

    A network that is compiled or exported as a whole stays as it is: its compiler decides what to recompute. So does a
    copy on the meta device, with which an iteration is counted, once there is a choice or without a budget.

    Args:
        budget_mib: MiB of activations that the attention blocks may save for the backward pass; None is a third of the
            free memory.
    """

    def __init__(self, budget_mib: float | None) -> None:
        self.budget_mib = budget_mib
        self.choices: dict[Case, Choice] = {}

    def __call__(self, groups: Sequence[BlockGroup], size: tuple[int, ...], like: Tensor) -> None:
        """Choose for clips (B, T, H, W), and let the blocks do so.

        Args:
            groups: Every part of the network with attention blocks.
            size: (B, T, H, W) in pixels.
            like: A tensor on the clip's device.
        """
        if torch.compiler.is_compiling() or (like.is_meta and (self.choices or self.budget_mib is None)):
            return
        branches = list(branches_of(groups, size))
        autocast = not like.is_meta and torch.is_autocast_enabled(like.device.type)
        trained = tuple(weight.requires_grad for group in groups for weight in group.module.parameters())
        case = Case(tuple(size), autocast, trained)
        if case not in self.choices:
            self.choices[case] = self.choose(branches, like)
        for branch, recomputed in zip(branches, self.choices[case].recomputed, strict=True):
            branch.apply(recomputed)

    def lines(self) -> list[str]:
        """Return a line for the log about every choice so far."""
        return [f'checkpointing of {case}: {choice}' for case, choice in self.choices.items()]

    def choose(self, branches: Sequence[Branch], like: Tensor) -> Choice:
        """Return the choice for the branches; ``like`` has the device of their maps."""
        budget = self.budget_mib
        if budget is None:
            budget = SHARE_OF_FREE_MEMORY * free_memory(like.device) / MIB
        measure, unit = (timed, 'ms') if can_be_timed(branches, like) else (counted, 'GMAC')
        costs = branch_costs(branches, like.device, measure)
        recomputed = cheapest_that_fit(costs, budget * MIB)
        saved = work = 0.0
        for branch, cost, chosen in zip(branches, costs, recomputed, strict=True):
            saved += cost.input_bytes if chosen else cost.saved_bytes
            work += cost.work * branch.share_computed * chosen
        return Choice(tuple(recomputed), saved / MIB, budget, work, unit)


def cheapest_that_fit(costs: Sequence[BranchCost], budget: float) -> list[bool]:
    """Return which branches to recompute, so that what all branches save fits the budget in bytes.

    Branches that free most for their work come first, among equals those of early blocks: the backward pass recomputes
    them last, when the activations of later blocks are gone. The last one may free more than was needed, so the dearest
    that still fit are saved after all. If nothing fits, every branch that frees anything is recomputed.
    """
    saved = sum(cost.saved_bytes for cost in costs)
    helpful = [i for i, cost in enumerate(costs) if cost.freed_bytes > 0]
    chosen = set()
    for i in sorted(helpful, key=lambda i: costs[i].work / costs[i].freed_bytes):
        if saved <= budget:
            break
        chosen.add(i)
        saved -= costs[i].freed_bytes
    for i in sorted(chosen, key=lambda i: -costs[i].work):
        if saved + costs[i].freed_bytes <= budget:
            chosen.remove(i)
            saved += costs[i].freed_bytes
    return [i in chosen for i in range(len(costs))]
