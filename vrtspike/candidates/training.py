"""Cheaper trainings: batches, accumulation, the optimizer's step, frozen parts, and what is logged and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vrtspike.candidates.candidate import CHANGES, EXACT, Candidate, Overrides, Purpose
from vrtspike.candidates.setting import Setting
from vrtspike.config.hooks import hooks_of

ITERATION_KEYS = ('begin', 'end', 'T_max', 'step_size', 'iters', 'max_iters', 'val_interval', 'val_begin')
"""Keys of schedules, loops and hooks that count iterations."""


def smaller_batch(setting: Setting) -> Iterator[Candidate]:
    """Yield one clip at a time, accumulated to the same batch."""
    batch = setting.loader.get('batch_size', 1)
    # ProgressiveCropsHook sets the batch size itself.
    if batch > 1 and all(hook.get('type') != 'ProgressiveCropsHook' for hook in hooks_of(setting.config).values()):
        overrides = accumulated(setting.config, batch)
        yield Candidate('accumulation', EXACT, overrides, purpose=Purpose.MEMORY, resumable=False)


def accumulated(config: Mapping[str, Any], factor: int) -> Overrides:
    """Return overrides that split each iteration into ``factor`` iterations, each with a ``factor``-th of the clips.

    An optimizer step sees as many clips as before. Every setting in iterations grows by ``factor``.
    """
    counts = config['optim_wrapper'].get('accumulative_counts', 1)
    overrides = {
        'train_dataloader.batch_size': config['train_dataloader']['batch_size'] // factor,
        'optim_wrapper.accumulative_counts': counts * factor,
        'default_hooks.checkpoint.interval': config['default_hooks']['checkpoint']['interval'] * factor,
    }
    counting = {'train_cfg': config['train_cfg']}
    counting |= {f'param_scheduler.{i}': node for i, node in enumerate(config.get('param_scheduler') or [])}
    counting |= hooks_of(config)
    for path, node in counting.items():
        for key in ITERATION_KEYS:
            if isinstance(node.get(key), int):
                overrides[f'{path}.{key}'] = node[key] * factor
    return overrides


def larger_batch(setting: Setting) -> Iterator[Candidate]:
    """Yield twice the clips in each iteration."""
    overrides = {'train_dataloader.batch_size': 2 * setting.loader.get('batch_size', 1)}
    note = 'Larger batches keep the device busier.'
    yield Candidate('larger_batch', EXACT, overrides, purpose=Purpose.TRAINING, resumable=False, note=note)


def optimizer_step(setting: Setting) -> Iterator[Candidate]:
    """Yield a fused step, and fewer steps."""
    fused = {'optim_wrapper.optimizer.fused': True}
    yield Candidate('fused_optimizer', EXACT, fused, 'optimizer', Purpose.TRAINING, note='Use the fused step.')
    yield Candidate(
        'more_accumulation',
        CHANGES,
        {'optim_wrapper.accumulative_counts': 2 * setting.optim_wrapper.get('accumulative_counts', 1)},
        'optimizer|communication',
        Purpose.TRAINING,
        resumable=False,
        note='Accumulate more iterations in each step, which changes the effective batch.',
    )


def frozen_flow(setting: Setting) -> Iterator[Candidate]:
    """Yield VRT's flow network as it was pretrained."""
    if setting.is_vrt:
        frozen = {'default_hooks.freeze': {'type': 'FreezeHook', 'names': ['backbone.spynet']}}
        note = 'Freeze the pretrained flow network: it then needs no backward pass.'
        yield Candidate('freeze_flow', CHANGES, frozen, 'flow', Purpose.TRAINING, note=note)


def rarer_hooks(setting: Setting) -> Iterator[Candidate]:
    """Yield fewer lines in the log, and fewer checkpoints."""
    rarer = {'default_hooks.logger.interval': 100, 'default_hooks.checkpoint.interval': 2000}
    yield Candidate('rarer_hooks', EXACT, rarer, 'other', Purpose.TRAINING, note='Log and save less often.')
