"""``torch.compile`` block by block: small graphs, without stochastic depth, checkpointing and stage markers."""

from __future__ import annotations

import torch
from torch import nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.layers.checkpointing import attention_blocks

MODES = ('default', 'reduce-overhead', 'max-autotune-no-cudagraphs')
"""'reduce-overhead' records CUDA graphs, which need clips of one size."""


def check_mode(mode: str | None) -> None:
    """Raise :class:`ConfigError` if the mode does not exist, or if it needs a GPU and there is none."""
    if mode is None:
        return
    if mode not in MODES:
        raise ConfigError(f"VRT: compile_mode='{mode}' is unknown{did_you_mean(mode, MODES)}")
    if mode == 'reduce-overhead' and not torch.cuda.is_available():
        raise ConfigError("VRT: compile_mode='reduce-overhead' records CUDA graphs, but there is no GPU; use 'default'")


def compile_blocks(model: nn.Module, mode: str, backend: str = 'inductor') -> None:
    """Compile the attention and the MLP of every attention block; parameters keep their names.

    Args:
        model: The network.
        mode: One of :data:`MODES`.
        backend: Backend of ``torch.compile``.
    """
    for block in attention_blocks(model):
        block.compiled = True  # else a graph would be compiled anew for every factor of stochastic depth
        for module in (block.attn, block.mlp):
            module.compile(mode=mode if backend == 'inductor' else None, backend=backend)
