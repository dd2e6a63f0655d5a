"""Which attention blocks recompute in the backward pass what they could keep: by name, or to fit a budget of memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.layers.blocks import AttentionBlock
from vrtspike.runtime.device import MIB, free_memory

POLICIES = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}
"""Whether attention and MLPs are recomputed, the fastest policy first."""

SHARE_OF_FREE_MEMORY = 0.5
"""What 'auto' lets the blocks keep without a budget; the rest is for alignment, gradients and the optimizer."""


def check_policy(policy: str | None) -> None:
    """Raise :class:`ConfigError` where there is no such policy."""
    known = [*POLICIES, 'auto']
    if policy is not None and policy not in known:
        raise ConfigError(f"VRT: checkpointing='{policy}' is unknown{did_you_mean(policy, known)}")


def apply_policy(model: nn.Module, policy: str) -> None:
    """Let every attention block of ``model`` recompute what the policy says."""
    for block in attention_blocks(model):
        block.checkpoint_attn, block.checkpoint_ffn = POLICIES[policy]


def attention_blocks(model: nn.Module) -> list[AttentionBlock]:
    """Return the attention blocks of a network in the order they were built."""
    return [module for module in model.modules() if isinstance(module, AttentionBlock)]


class MemoryFit:
    """Chooses the fastest policy whose blocks keep no more than a budget, once for each size of clip.

    What a branch keeps is measured on a map of one window and scaled to the clip's tokens.

    Args:
        budget_mib: MiB that the attention blocks may keep between the passes; None is half of what is free.
    """

    def __init__(self, budget_mib: float | None) -> None:
        self.budget_mib = budget_mib
        self.sizes: dict[tuple, str] = {}
        """The policy chosen for every (B, T, H, W) and type, with the reason."""

    def __call__(self, model: nn.Module, groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> None:
        """Set the policy of ``model`` for clips (B, T, H, W).

        Args:
            model: The network.
            groups: Every part that holds attention blocks, with the divisor of height and width it works at.
            size: (B, T, H, W) in pixels.
            like: A tensor of the clip's device and type.
        """
        key = (*size, torch.is_autocast_enabled(like.device.type))
        if key not in self.sizes:
            self.sizes[key] = self.choose(groups, size, like)
        apply_policy(model, self.sizes[key].split(':')[0])

    def choose(self, groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> str:
        """Return ``policy: reason``."""
        budget = self.budget_mib or SHARE_OF_FREE_MEMORY * free_memory(like.device) / MIB
        needs = needed_mib(groups, size, like)
        policy = next((policy for policy, needed in needs.items() if needed <= budget), 'all')
        return f'{policy}: attention blocks keep {needs[policy]:.0f} MiB of the {budget:.0f} MiB they may'


def needed_mib(groups: list[tuple[nn.Module, int]], size: tuple, like: Tensor) -> dict[str, float]:
    """Return for every policy what the attention blocks keep between the passes, in MiB; see :class:`MemoryFit`."""
    batch, frames, height, width = size
    kept = {'input': 0.0, 'attn': 0.0, 'ffn': 0.0}
    for module, divisor in groups:
        tokens = batch * frames * (height // divisor) * (width // divisor)
        for block in attention_blocks(module):
            for name, value in kept_bytes_per_token(block, like).items():
                kept[name] += value * tokens / MIB
    return {
        policy: kept['input'] * (attn + ffn) + kept['attn'] * (not attn) + kept['ffn'] * (not ffn)
        for policy, (attn, ffn) in POLICIES.items()
    }


def kept_bytes_per_token(block: AttentionBlock, like: Tensor) -> dict[str, float]:
    """Return what the two branches of a block, and the input of one, keep for every token."""
    window = block.attn.window
    x = torch.zeros(1, *window, block.norm1.normalized_shape[0], device=like.device, dtype=block.norm1.weight.dtype)
    x.requires_grad_()
    tokens = window[0] * window[1] * window[2]
    constant = {p.untyped_storage().data_ptr() for p in block.parameters()}
    attn = kept_bytes(block.attention_branch, x, constant) / tokens
    ffn = kept_bytes(block.mlp_branch, x, constant) / tokens
    return {'input': x.element_size() * x.shape[-1], 'attn': attn, 'ffn': ffn}


def kept_bytes(function: Callable[[Tensor], Tensor], x: Tensor, except_for: set[int]) -> int:
    """Return the bytes of the storages that autograd keeps for the backward pass of ``function(x)``."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in except_for:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = function(x)  # alive while the storages are summed, so that none is counted under a used address
    del out
    return sum(storages.values())
