"""A training of a few iterations on random clips, for tests of hooks and losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import Dataset

import vrtspike.metrics  # noqa: F401  registers RestorationQuality
from vrtspike.config.hooks import REPORTING_HOOKS
from vrtspike.testing.sweep import BINS, tiny_restorer

WITHOUT_REPORTS = dict.fromkeys(f'default_hooks.{name}' for name in REPORTING_HOOKS)
"""Overrides of a config that switch off the hooks which only describe a run."""

FRAMES, SIZE, CLIPS = 2, 16, 4
_names = (f'brief{i}' for i in itertools.count())


class RandomClips(Dataset):
    """Clips of noise, as :mod:`vrtspike.datasets.clips` documents samples; each depends on its index only."""

    def __len__(self) -> int:
        return CLIPS

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        blur, sharp = torch.randint(0, 256, (2, FRAMES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        spikes = torch.rand(FRAMES, BINS, SIZE // 2, SIZE // 2, generator=generator)
        meta = {'name': f'noise{index}', 'first_frame': '00000', 'light': 'linear'}
        return {'blur': blur, 'sharp': sharp, 'spikes': spikes, 'meta': meta}


def train_briefly(
    work_dir: str | Path, hooks: Sequence[dict[str, Any]] = (), iterations: int = 3, **settings: Any
) -> Runner:
    """Train a tiny restorer on random clips, validate it, and return the Runner.

    Args:
        work_dir: Folder of the run.
        hooks: Custom hooks, as a config gives them.
        iterations: Optimizer steps.
        settings: Arguments of MMEngine's Runner that replace the ones made here, such as ``model``.
    """
    loader = dict(dataset=RandomClips(), batch_size=2, num_workers=0, collate_fn=dict(type='default_collate'))
    made = dict(
        work_dir=str(work_dir),
        train_dataloader=dict(loader, sampler=dict(type='InfiniteSampler', shuffle=True)),
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=dict(type='RestorationQuality'),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        log_processor=dict(by_epoch=False, window_size=1),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False)),
        custom_hooks=list(hooks),
        default_scope='vrtspike',
        experiment_name=next(_names),
        randomness=dict(seed=0),
        cfg=Config(),
    )
    if 'model' not in settings:
        torch.manual_seed(0)
        settings['model'] = tiny_restorer(backbone='VRTLite')
    runner = Runner(**made | settings)
    runner.train()
    return runner
