"""Small parts that configs of these tests name, registered for one module's tests at a time."""

from pathlib import Path
from typing import ClassVar

import pytest
from mmengine.model import BaseModel
from torch import nn

from vrtspike import registry


class Restorer(BaseModel):
    filled_in: ClassVar = {'fusion': ('channels',)}
    parts: ClassVar = {'aligner': registry.BACKBONES, 'loss': None}

    def __init__(self, backbone, fusion=None, aligner=None, loss=None, **kwargs):
        super().__init__(**kwargs)


class Backbone(nn.Module):
    def __init__(self, depths, window=8, *, heads=6):
        super().__init__()


class GatedHead(nn.Module):
    def __init__(self, channels, gate=0.5):
        super().__init__()


class AttentionHead(nn.Module):
    def __init__(self, channels, heads=8):
        super().__init__()


class AnythingHead(nn.Module):
    def __init__(self, channels, **options):
        super().__init__()
        self.options = dict(options)


class Clips:
    def __init__(self, root='demo', count=4):
        pass


class OtherClips:
    def __init__(self, root):
        pass


class ClipDataset:
    def __init__(self, source, split, pipeline=()):
        pass


class Flip:
    def __init__(self, probability=0.5):
        pass


FAKES = {
    registry.MODELS: {'FakeRestorer': Restorer},
    registry.BACKBONES: {'FakeBackbone': Backbone},
    registry.FUSION_HEADS: {
        'FakeGatedHead': GatedHead,
        'FakeAttentionHead': AttentionHead,
        'FakeAnythingHead': AnythingHead,
    },
    registry.CLIP_SOURCES: {'FakeClips': Clips, 'OtherFakeClips': OtherClips},
    registry.DATASETS: {'ClipDataset': ClipDataset},
    registry.TRANSFORMS: {'FakeFlip': Flip},
}

CONFIG = """
default_scope = 'vrtspike'
data = dict(type='FakeClips')
model = dict(
    type='FakeRestorer',
    backbone=dict(type='FakeBackbone', depths=[2, 2]),
    fusion=dict(type='FakeAttentionHead', heads=4))
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    dataset=dict(type='ClipDataset', split='train', pipeline=[dict(type='FakeFlip')]),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    batch_size=1,
    dataset=dict(type='RepeatDataset', times=2, dataset=dict(type='ClipDataset', split='val')),
    sampler=dict(type='DefaultSampler', shuffle=False))
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99)),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys={'flow': dict(lr_mult=0.1)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5),
    dict(type='CosineAnnealingLR', eta_min=1e-7, by_epoch=False, begin=5, convert_to_iter_based=False)]
train_cfg = dict(by_epoch=False, max_iters=100, val_interval=50)
val_cfg = dict()
val_evaluator = [dict(type='DumpResults', out_file_path='out.pkl')]
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=50, save_optimizer=True, priority='LOW'),
    timer=None)
custom_hooks = [dict(type='EarlyStoppingHook', monitor='psnr')]
env_cfg = dict(mp_cfg=dict(mp_start_method='fork'))
randomness = dict(seed=3)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_processor = dict(by_epoch=False)
cpu_overrides = {'train_cfg.max_iters': 10, 'train_dataloader.num_workers': 0}
"""


@pytest.fixture(scope='module', autouse=True)
def fakes():
    """Register the fakes, after the package's own parts so that neither meets the other."""
    with pytest.MonkeyPatch.context() as patch:
        for chosen, parts in FAKES.items():
            chosen.import_from_location()
            for name, part in parts.items():
                patch.setitem(chosen.module_dict, name, part)
        yield


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a config file and returns its path."""

    def write_config(text: str = CONFIG, name: str = 'config.py') -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_config


@pytest.fixture
def base(write) -> Path:
    """Return a complete, correct config, from which children inherit as ``base.py``."""
    return write(CONFIG, 'base.py')
