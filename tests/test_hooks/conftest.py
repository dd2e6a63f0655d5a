"""A short MMEngine run of a tiny restorer on the CPU."""

import itertools

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from vrtspike.records.stage_costs import Rates

FRAMES, SIZE = 3, 16
_names = (f'test{i}' for i in itertools.count())


class TinyRestorer(BaseModel):
    """Two convolutions on single frames, called as the project's restorer is."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({'flow': nn.Conv2d(3, 4, 1), 'tail': nn.Conv2d(4, 3, 1)})
        self.head = nn.Conv2d(3, 3, 1)

    def forward(self, blur, spikes=None, sharp=None, meta=None, mode='tensor'):
        frames = blur.float() / 255
        out = self.head(self.backbone['tail'](self.backbone['flow'](frames.flatten(0, 1)))).view_as(frames)
        if mode == 'loss':
            return {'loss': (out - sharp / 255).abs().mean()}
        return [{'restored': clip} for clip in out.clamp(0, 1)]


class RandomClips(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        blur, sharp = torch.randint(0, 256, (2, FRAMES, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        spikes = torch.rand(FRAMES, 4, SIZE // 2, SIZE // 2, generator=generator)
        return {
            'blur': blur,
            'sharp': sharp,
            'spikes': spikes,
            'meta': {'name': f'street/{index}', 'first_frame': '0000', 'light': 'linear'},
        }


@pytest.fixture
def measured_rates(monkeypatch):
    """Rates of a device that nobody measures here."""
    monkeypatch.setattr('vrtspike.hooks.stage_cost_hook.device_rates', lambda device, dtype: Rates(100.0, 10.0))


@pytest.fixture
def make_runner(tmp_path):
    """Return a function that makes a Runner of ``iters`` iterations which validates at its end."""

    def make(iters=2, hooks=(), **overrides):
        loader = {
            'batch_size': 2,
            'num_workers': 0,
            'dataset': RandomClips(),
            'collate_fn': {'type': 'default_collate'},
        }
        settings = {
            'model': TinyRestorer(),
            'work_dir': str(tmp_path / 'run'),
            'train_dataloader': dict(loader, sampler={'type': 'InfiniteSampler', 'shuffle': True}),
            'val_dataloader': dict(loader, sampler={'type': 'DefaultSampler', 'shuffle': False}),
            'val_evaluator': {'type': 'RestorationQuality'},
            'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': iters, 'val_interval': iters},
            'val_cfg': {},
            'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 1e-2}, 'clip_grad': {'max_norm': 1.0}},
            'param_scheduler': [
                {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 2},
                {'type': 'CosineAnnealingLR', 'by_epoch': False, 'T_max': 8},
            ],
            'log_processor': {'by_epoch': False, 'window_size': 1},
            'default_hooks': {'logger': {'type': 'LoggerHook', 'interval': 1, 'log_metric_by_epoch': False}},
            'custom_hooks': list(hooks),
            'default_scope': 'vrtspike',
            'experiment_name': next(_names),
            'randomness': {'seed': 0},
            'cfg': Config(),
        }
        return Runner(**{**settings, **overrides})

    return make


@pytest.fixture
def log_of():
    """Return a function that gives the text a runner has logged."""

    def read(runner):
        for handler in runner.logger.handlers:
            handler.flush()
        with open(f'{runner.log_dir}/{runner.timestamp}.log', encoding='utf-8') as file:
            return file.read()

    return read
