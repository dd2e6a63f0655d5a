"""A tiny network with its checkpoint, and a clip that fits it."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

from vrtspike.registry import MODELS
from vrtspike.testing.sweep import TINY_BACKBONE

MODEL = dict(
    type='SpikeRestorer',
    backbone=dict(type='VRT', **TINY_BACKBONE),
    spike_encoder=dict(type='SpikeEncoder3D', bins=4, channels=8),
    tsa=dict(type='TemporalSelfAttention', heads=2),
    fusion=dict(type='TemporalCrossAttention', heads=2),
    fusion_stages=[1],
)
PIPELINE = [
    dict(type='PairedCenterCrop', size=None),
    dict(type='BinSpikes', representation=dict(type='Voxel', bins=4)),
    dict(type='PackClip'),
]
CONFIG = dict(
    model=MODEL,
    default_scope='vrtspike',
    val_dataloader=dict(
        batch_size=1,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ClipDataset', split='val', clip_len=2, stride=2, pipeline=PIPELINE),
    ),
    work_dir='elsewhere',
)


@pytest.fixture(scope='session')
def network():
    """A restorer whose last convolution is awake, so that spikes and frames change the output."""
    torch.manual_seed(0)
    model = MODELS.build(MODEL).eval()
    torch.nn.init.normal_(model.backbone.conv_last.weight, std=0.1)
    return model


@pytest.fixture(scope='session')
def checkpoint(network, tmp_path_factory):
    """A checkpoint as our training writes it: weights, and the config as text."""
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_3.pth'
    torch.save({'state_dict': network.state_dict(), 'meta': {'cfg': Config(CONFIG).pretty_text, 'iter': 3}}, path)
    return path


def make_clip(frames=5, size=(24, 32), steps=8, seed=0):
    rng = np.random.default_rng(seed)
    blur = rng.integers(0, 256, (frames, *size, 3), dtype=np.uint8)
    spikes = rng.integers(0, 2, (frames, steps, size[0] // 2, size[1] // 2), dtype=np.uint8)
    return blur, spikes


@pytest.fixture
def clip():
    return make_clip()


@pytest.fixture(scope='session')
def published(network, tmp_path_factory):
    """A file in the layout of published weights, and a config of its network, which uses no spikes."""
    folder = tmp_path_factory.mktemp('published')
    torch.save({'params': network.backbone.state_dict()}, folder / 'net.pth')
    model = {name: MODEL[name] for name in ('type', 'backbone')}
    config = Config({**CONFIG, 'model': model, 'data': {'type': 'DemoClips'}})
    (folder / 'rgb.py').write_text(config.pretty_text, encoding='utf-8')
    return folder / 'net.pth', folder / 'rgb.py'
