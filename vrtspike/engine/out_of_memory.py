"""The report of a training that ran out of memory: the stages that save the most activations, and smaller settings."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.registry import init_default_scope

from vrtspike.benchmarking.saved_activations import saved_activations_mib
from vrtspike.candidates import Candidate, Purpose, Setting, catalogue
from vrtspike.profiling.memory_snapshot import snapshot_path, write_snapshot
from vrtspike.registry import BACKBONES, MODELS

SHOWN_STAGES = 6


def smaller_candidates(config: Config) -> Iterator[Candidate]:
    """Yield the candidates that need less memory, the cheapest first. Each includes those before it."""
    parameters = inspect.signature(BACKBONES.get(config.model.backbone.type)).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    setting = Setting(config=config.to_dict(), backbone_defaults=defaults)
    return catalogue(setting, Purpose.MEMORY)


def out_of_memory_report(config: Config, error: BaseException) -> str:
    """Return the error, the activations that each stage saves, and how much the candidates would save."""
    lines = [f'memory ran out: {str(error).strip().splitlines()[0]}', *stage_lines(config), *snapshot_lines(config)]
    candidates = list(smaller_candidates(config))
    if candidates:
        lines.append('Settings that need less memory, each including those above (auto_fit=True tries them in order):')
    tried = copy.deepcopy(config)
    for candidate in candidates:
        tried.merge_from_dict(copy.deepcopy(candidate.overrides))
        saved = estimate(tried)
        result = '' if isinstance(saved, str) else f'  (about {sum(saved.values()):.0f} MiB)'
        options = ' '.join(f'{key}={value}' for key, value in candidate.overrides.items())
        lines.append(f'  {candidate.name}{result}: {options}')
    lines.append(
        'Smaller crops (train_dataloader.dataset.pipeline.0.size) need less memory too. If validation\n'
        'runs out of memory, use smaller crops there (val_dataloader.dataset.pipeline.0.size).'
    )
    return '\n'.join(lines)


def stage_lines(config: Config) -> list[str]:
    """Return lines with the activations that an iteration saves, in total and by stage, or why they are unknown."""
    saved = estimate(config)
    if isinstance(saved, str):
        return [f'The saved activations could not be estimated: {saved}']
    total = sum(saved.values())
    adaptive = config.model.backbone.get('checkpointing') == 'auto'  # saves more where memory is free
    lines = [f'Saved activations: {"at least " * adaptive}{total:.0f} MiB per iteration, most of them in']
    for name, size in sorted(saved.items(), key=lambda item: -item[1])[:SHOWN_STAGES]:
        lines.append(f'  {name:<14} {size:8.0f} MiB  {100 * size / total:3.0f} %')
    return lines


def snapshot_lines(config: Config) -> list[str]:
    """Write what is allocated on the GPUs to the folder of the run, and return a line that says where."""
    if not torch.cuda.is_initialized():
        return []
    path = snapshot_path(config.work_dir, get_rank())
    try:
        write_snapshot(path)
    except Exception as error:  # must not replace the error that is being reported
        return [f"The snapshot of the GPU's memory could not be written: {type(error).__name__}: {error}"]
    return [f'What the GPU held is in {path}: open it at https://pytorch.org/memory_viz']


def estimate(config: Config) -> dict[str, float] | str:
    """Return the activations that each stage saves for one batch, in MiB, or why they cannot be estimated."""
    try:
        init_default_scope(config.get('default_scope', 'vrtspike'))
        dataset = config.train_dataloader.dataset
        size = dataset.pipeline[0]['size']
        height, width = (size, size) if isinstance(size, int) else size
        start = config.train_dataloader.batch_size, dataset.clip_len
        model = MODELS.build(config.model)
        spikes = None
        if model.uses_spikes:
            spikes = (*start, model.spike_bins, height // 2, width // 2)
        return saved_activations_mib(model, (*start, 3, height, width), spikes)
    except Exception as error:  # must not replace the error that is being reported
        return f'{type(error).__name__}: {error}'
