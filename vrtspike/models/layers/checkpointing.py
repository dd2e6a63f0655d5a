"""Activation checkpointing of attention blocks by the name of a policy.

:mod:`vrtspike.models.layers.memory_fit` chooses for every branch by itself.
"""

from __future__ import annotations

from torch import nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.layers.blocks import AttentionBlock

POLICIES = {'none': (False, False), 'ffn': (False, True), 'attn': (True, False), 'all': (True, True)}
"""Whether attention and MLPs are recomputed in the backward pass."""


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
