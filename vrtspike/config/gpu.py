"""Settings that make a training on a GPU faster, for configs that leave them open."""

from __future__ import annotations

from typing import Any

FUSED_OPTIMIZERS = ('Adagrad', 'Adam', 'AdamW', 'SGD')
"""They can update all weights in a few kernels, and skip a step that the GPU finds to be non-finite."""

IMPLEMENTATIONS = ('capturable', 'differentiable', 'foreach', 'fused')
"""Arguments of an optimizer that choose how it computes. A config that sets one has chosen."""

LOADERS = ('train_dataloader', 'val_dataloader')


def set_gpu_defaults(config: Any) -> None:
    """Set ``fused`` of the optimizer and ``pin_memory`` of the data loaders, unless the config sets them."""
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    if optimizer.get('type') in FUSED_OPTIMIZERS and not set(IMPLEMENTATIONS) & set(optimizer):
        optimizer['fused'] = True
    for name in LOADERS:
        if config.get(name):
            config[name].setdefault('pin_memory', True)
