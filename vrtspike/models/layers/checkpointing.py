"""Activation checkpointing of attention blocks: chosen by a policy's name, or to fit a memory budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.layers.blocks import AttentionBlock
from vrtspike.runtime.device import MIB, free_memory

POLICIES = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}
"""Whether attention and MLPs are recomputed in the backward pass; the fastest policy first."""

SHARE_OF_FREE_MEMORY = 0.5
"""The share that saved activations may take with 'auto'; the rest is for alignment, gradients and the optimizer."""


def check_policy(policy: str | None) -> None:
    """Raise :class:`ConfigError` unless ``policy`` is None, 'auto' or one of :data:`POLICIES`."""
    known = [*POLICIES, 'auto']
    if policy is not None and policy not in known:
        raise ConfigError(f"VRT: checkpointing='{policy}' is unknown{did_you_mean(policy, known)}")


def apply_policy(model: nn.Module, policy: str) -> None:
    """Apply a policy to every attention block of ``model``."""
    for block in attention_blocks(model):
        block.checkpoint_attn, block.checkpoint_ffn = POLICIES[policy]


def attention_blocks(model: nn.Module) -> list[AttentionBlock]:
    """Return the attention blocks of a network in the order they were built."""
    return [module for module in model.modules() if isinstance(module, AttentionBlock)]


class PolicyChoice(NamedTuple):
    """The policy for one size of clip."""

    policy: str
    reason: str

    def __str__(self) -> str:
        return f'{self.policy}: {self.reason}'


class MemoryFit:
    """Chooses the fastest policy whose saved activations fit a budget, once for each size of clip.

    The saved activations of a branch are measured on a map of one window and scaled to the number of tokens.

    Args:
        budget_mib: MiB of activations that the attention blocks may save for the backward pass; None is half of the
            free memory.
    """

    def __init__(self, budget_mib: float | None) -> None:
        self.budget_mib = budget_mib
        self.sizes: dict[tuple, PolicyChoice] = {}
        """By (B, T, H, W) and whether autocast is on."""

    def __call__(self, model: nn.Module, groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> None:
        """Set the policy of ``model`` for clips (B, T, H, W).

        Args:
            model: The network.
            groups: Every part with attention blocks, with the divisor of height and width of its features.
            size: (B, T, H, W) in pixels.
            like: A tensor with the clip's device and type.
        """
        key = (*size, torch.is_autocast_enabled(like.device.type))
        if key not in self.sizes:
            self.sizes[key] = self.choose(groups, size, like)
        apply_policy(model, self.sizes[key].policy)

    def choose(self, groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> PolicyChoice:
        """Return the policy for clips (B, T, H, W); see :meth:`__call__` for the arguments."""
        budget = self.budget_mib or SHARE_OF_FREE_MEMORY * free_memory(like.device) / MIB
        needs = needed_mib(groups, size, like)
        policy = next((policy for policy, needed in needs.items() if needed <= budget), 'all')
        return PolicyChoice(policy, f'attention blocks save {needs[policy]:.0f} MiB of the {budget:.0f} MiB allowed')


def needed_mib(groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> dict[str, float]:
    """Return the saved activations of the attention blocks in MiB, for every policy; see :class:`MemoryFit`."""
    batch, frames, height, width = size
    saved = {'input': 0.0, 'attn': 0.0, 'ffn': 0.0}
    for module, divisor in groups:
        tokens = batch * frames * (height // divisor) * (width // divisor)
        for block in attention_blocks(module):
            for name, value in saved_bytes_per_token(block, like).items():
                saved[name] += value * tokens / MIB
    return {
        policy: saved['input'] * (attn + ffn) + saved['attn'] * (not attn) + saved['ffn'] * (not ffn)
        for policy, (attn, ffn) in POLICIES.items()
    }


def saved_bytes_per_token(block: AttentionBlock, like: Tensor) -> dict[str, float]:
    """Return the bytes per token that each branch of a block saves, and the bytes per token of a branch's input."""
    window = block.attn.window
    x = torch.zeros(1, *window, block.norm1.normalized_shape[0], device=like.device, dtype=block.norm1.weight.dtype)
    x.requires_grad_()
    tokens = window[0] * window[1] * window[2]
    constant = {p.untyped_storage().data_ptr() for p in block.parameters()}
    attn, ffn = (saved_bytes(branch, x, constant) / tokens for branch in block.branches(x))
    return {'input': x.element_size() * x.shape[-1], 'attn': attn, 'ffn': ffn}


def saved_bytes(function: Callable[[Tensor], object], x: Tensor, excluded: set[int]) -> int:
    """Return the bytes of the storages that autograd saves for the backward pass of ``function(x)``."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in excluded:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = function(x)  # alive until the storages are summed: no address is used twice
    del out
    return sum(storages.values())
