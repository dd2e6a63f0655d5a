"""Cheaper trainings: data loading, batches, accumulation, the optimizer's step, frozen parts, logs and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from vrtspike.candidates.candidate import CHANGES, EXACT, Candidate, Overrides, Purpose
from vrtspike.candidates.setting import Setting
from vrtspike.config.hooks import hooks_of

WORKERS = (0, 1, 2, 4, 8, 16)
WORKERS_KEY = 'train_dataloader.num_workers'

ITERATION_KEYS = ('begin', 'end', 'T_max', 'step_size', 'iters', 'max_iters', 'val_interval', 'val_begin')
"""Keys of schedules, loops and hooks that count iterations."""


def data_workers(setting: Setting) -> Iterator[Candidate]:
    """Yield other numbers of worker processes, at most one for each core."""
    if not setting.trains:
        return
    for workers in WORKERS:
        if workers <= setting.cores and workers != setting.node('train_dataloader').get('num_workers', 0):
            overrides = {WORKERS_KEY: workers, 'train_dataloader.persistent_workers': True}
            yield Candidate(f'data_workers_{workers}', EXACT, overrides, 'data')


def changes_data_loading(overrides: Mapping[str, Any]) -> bool:
    """Return whether overrides change how batches are read. Only a step that waits for its batch can show that."""
    return WORKERS_KEY in overrides


def smaller_batch(setting: Setting) -> Iterator[Candidate]:
    """Yield one clip at a time, accumulated to the same batch."""
    batch = setting.node('train_dataloader').get('batch_size', 1)
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


def cheaper_training(setting: Setting) -> Iterator[Candidate]:
    """Yield changes that make a training cheaper in ways that a timed step cannot show."""
    candidate = partial(Candidate, purpose=Purpose.TRAINING)
    ahead = {
        WORKERS_KEY: 8,
        'train_dataloader.prefetch_factor': 4,
        'train_dataloader.persistent_workers': True,
        'train_dataloader.pin_memory': True,
    }
    note = 'Use more workers and read more batches ahead. Each worker needs its own core.'
    yield candidate('prefetching', EXACT, ahead, 'data', note=note)
    twice = {'train_dataloader.batch_size': 2 * setting.node('train_dataloader').get('batch_size', 1)}
    yield candidate('larger_batch', EXACT, twice, resumable=False, note='Larger batches keep the device busier.')
    fused = {'optim_wrapper.optimizer.fused': True}
    yield candidate('fused_optimizer', EXACT, fused, 'optimizer', note='Use the fused step.')
    counts = setting.node('optim_wrapper').get('accumulative_counts', 1)
    more = {'optim_wrapper.accumulative_counts': 2 * counts}
    note = 'Accumulate more iterations in each step, which changes the effective batch.'
    yield candidate('more_accumulation', CHANGES, more, 'optimizer|communication', resumable=False, note=note)
    if setting.is_vrt:
        frozen = {'default_hooks.freeze': {'type': 'FreezeHook', 'names': ['backbone.spynet']}}
        note = 'Freeze the pretrained flow network: it then needs no backward pass.'
        yield candidate('freeze_flow', CHANGES, frozen, 'flow', note=note)
    rarer = {'default_hooks.logger.interval': 100, 'default_hooks.checkpoint.interval': 2000}
    yield candidate('rarer_hooks', EXACT, rarer, 'other', note='Log and save less often.')
