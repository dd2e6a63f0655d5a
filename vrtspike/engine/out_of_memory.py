"""A training that does not fit into memory: what holds it, which lines of the config need less, and their trial."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from vrtspike.benchmarking.saved_activations import saved_activations_mib
from vrtspike.config.schema import hooks_of
from vrtspike.registry import BACKBONES, MODELS

FEW_SEQUENCES = 8192
SHOWN_STAGES = 6
#: Keys that count iterations, in a schedule or a hook.
ITERATION_KEYS = ('begin', 'end', 'T_max', 'step_size', 'iters', 'max_iters', 'val_interval', 'val_begin')


@dataclass(frozen=True)
class Remedy:
    """Changes of a config that lower its memory, by dotted keys, and whether a checkpoint can be gone on with."""

    name: str
    changes: dict[str, Any]
    resumable: bool = True


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or the host, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def remedies(config: Config) -> Iterator[Remedy]:
    """Yield what the config does not do yet, the cheapest first; each assumes those before it."""
    backbone = config.model.backbone
    accepted = inspect.signature(BACKBONES.get(backbone.type)).parameters
    switches = [name for name in ('use_checkpoint_attn', 'use_checkpoint_ffn') if name in accepted]
    policy = backbone.get('checkpointing')  # decides over the switches where it is given
    if policy not in (None, 'all'):
        yield Remedy('checkpointing', {'model.backbone.checkpointing': 'all'})
    elif policy is None and not all(backbone.get(name, accepted[name].default) for name in switches):
        yield Remedy('checkpointing', {f'model.backbone.{name}': True for name in switches})
    parts = [name for name in ('tsa', 'fusion') if 'max_batch_tokens' in (config.model.get(name) or {})]
    large = [name for name in parts if config.model[name].max_batch_tokens > FEW_SEQUENCES]
    if large:
        changes = {f'model.{name}.max_batch_tokens': FEW_SEQUENCES for name in large}
        yield Remedy('chunks', changes | {f'model.{name}.adaptive_chunk': True for name in large})
    batch = config.train_dataloader.batch_size
    # Progressive crops set the batch size themselves.
    if batch > 1 and all(hook.get('type') != 'ProgressiveCropsHook' for hook in hooks_of(config).values()):
        yield Remedy('accumulation', accumulated(config, batch), resumable=False)


def accumulated(config: Config, factor: int) -> dict[str, Any]:
    """Return changes that make one iteration of now ``factor`` iterations of a ``factor``-th of the batch.

    Steps of the optimizer see as many clips as before; all that is counted in iterations counts ``factor`` times more.
    """
    accumulation = config.optim_wrapper.get('accumulative_counts', 1)
    changes = {
        'train_dataloader.batch_size': config.train_dataloader.batch_size // factor,
        'optim_wrapper.accumulative_counts': accumulation * factor,
        'default_hooks.checkpoint.interval': config.default_hooks.checkpoint.interval * factor,
    }
    plain = config.to_dict()
    schedules = plain.get('param_scheduler') or []
    counted = {'train_cfg': plain['train_cfg']}
    counted |= {f'param_scheduler.{i}': schedule for i, schedule in enumerate(schedules)}
    counted |= hooks_of(plain)
    for place, node in counted.items():
        for key in ITERATION_KEYS:
            if isinstance(node.get(key), int):
                changes[f'{place}.{key}'] = node[key] * factor
    return changes


def out_of_memory_report(config: Config, error: BaseException) -> str:
    """Return what ran out, what holds it by stage, and what the remedies would hold."""
    lines = [f'memory ran out: {str(error).strip().splitlines()[0]}']
    held = estimate(config)
    if isinstance(held, str):
        lines.append(f'What holds it could not be found: {held}')
    else:
        total = sum(held.values())
        lines.append(f'Held for the backward pass: about {total:.0f} MiB in each iteration, most of it in')
        for name, size in sorted(held.items(), key=lambda item: -item[1])[:SHOWN_STAGES]:
            lines.append(f'  {name:<14} {size:8.0f} MiB  {100 * size / total:3.0f} %')
    tried = copy.deepcopy(config)
    for i, remedy in enumerate(remedies(config)):
        if i == 0:
            lines.append('What needs less, each with those before it (auto_fit=True tries them in turn):')
        tried.merge_from_dict(copy.deepcopy(remedy.changes))
        held = estimate(tried)
        result = '' if isinstance(held, str) else f'  (about {sum(held.values()):.0f} MiB)'
        lines.append(f'  {remedy.name}{result}: {" ".join(f"{key}={value}" for key, value in remedy.changes.items())}')
    lines.append(
        'Smaller crops (train_dataloader.dataset.pipeline.0.size) need less too; out of memory in a validation'
    )
    lines.append('wants smaller crops there (val_dataloader.dataset.pipeline.0.size).')
    return '\n'.join(lines)


def estimate(config: Config) -> dict[str, float] | str:
    """Return MiB held by stage for one batch of the config, or why that cannot be found."""
    try:
        init_default_scope(config.get('default_scope', 'vrtspike'))
        dataset = config.train_dataloader.dataset
        size = dataset.pipeline[0]['size']
        height, width = (size, size) if isinstance(size, int) else size
        start = config.train_dataloader.batch_size, dataset.clip_len
        model = MODELS.build(config.model)
        spikes = None
        if model.uses_spikes:
            spikes = (*start, model.spike_encoder.bins, height // 2, width // 2)
        return saved_activations_mib(model, (*start, 3, height, width), spikes)
    except Exception as error:  # a report must not fail over the fault that it reports
        return f'{type(error).__name__}: {error}'
