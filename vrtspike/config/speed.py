"""Settings that make a training faster, for configs that leave them open."""

from __future__ import annotations

from typing import Any

FUSED_OPTIMIZERS = ('Adagrad', 'Adam', 'AdamW', 'SGD')
"""They can update all weights in a few kernels, and skip a step that a GPU finds to be non-finite."""

IMPLEMENTATIONS = ('capturable', 'differentiable', 'foreach', 'fused')
"""Arguments of an optimizer that choose how it computes. A config that sets one has chosen."""

LOADERS = ('train_dataloader', 'val_dataloader')


def fuse_optimizer(config: Any) -> None:
    """Set ``fused`` of the optimizer, unless the config chooses how it computes.

    A checkpoint has this setting too: a resumed run goes on with that of its checkpoint, so its numbers stay the same.
    """
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    if optimizer.get('type') in FUSED_OPTIMIZERS and not set(IMPLEMENTATIONS) & set(optimizer):
        optimizer['fused'] = True


def pin_batches(config: Any) -> None:
    """Set ``pin_memory`` of the data loaders, unless the config sets it: GPUs copy such batches without waiting."""
    for name in LOADERS:
        if config.get(name):
            config[name].setdefault('pin_memory', True)
