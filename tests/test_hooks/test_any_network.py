"""Stages of networks that know nothing of vrtspike, in a plain MMEngine Runner, against planted delays."""

import importlib.util
import json
import sys
from unittest.mock import MagicMock

import pytest
import torch
from foreign_networks import Classifier, Images, ResNet, Swin
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from planted import PlantedClock, plant
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.hooks import FlopsHook, StageCostHook
from vrtspike.profiling import sampler

RESNET = {
    'stem': ['backbone.conv1', 'backbone.bn1', 'backbone.maxpool'],
    **{f'stage{i}': f'backbone.layer{i}' for i in range(1, 5)},
    'downsample': '*.downsample',
    'head': 'backbone.fc',
}
SWIN = {
    'embed': 'backbone.patch_embed',
    'stage1': 'backbone.layers.0',
    'stage2': 'backbone.layers.1',
    'attention': '*.attn',
    'mlp': '*.mlp',
    'head': 'backbone.head',
}


@pytest.fixture
def clock(monkeypatch):
    clock = PlantedClock()
    monkeypatch.setattr(sampler, 'clock_of', lambda device: clock)
    return clock


@pytest.fixture
def train(tmp_path, monkeypatch, measured_rates):
    """Return a function that trains a classifier by MMEngine alone and returns the hook, the record and the log."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())  # of other tests

    def train(backbone, stages, iters=5, **settings):
        loader = dict(
            batch_size=4,
            dataset=Images(),
            sampler=dict(type='InfiniteSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        )
        hook = StageCostHook(interval=2, warmup=1, stages=stages)
        runner = Runner(
            model=Classifier(backbone),
            work_dir=str(tmp_path / 'run'),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=False, max_iters=iters),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            custom_hooks=[FlopsHook(), hook],
            experiment_name=tmp_path.name,
            **settings,
        )
        runner.train()
        with open(f'{runner.work_dir}/stage_costs.jsonl', encoding='utf-8') as file:
            records = [json.loads(line) for line in file]
        with open(f'{runner.log_dir}/{runner.timestamp}.log', encoding='utf-8') as file:
            return hook, records, file.read()

    return train


def times_of(sample):
    """Return the stages and parts of a sample that took time, as (forward, backward)."""
    found = sample['stages'] | sample['parts']
    times = {name: (each.get('forward_ms', 0), each.get('backward_ms', 0)) for name, each in found.items()}
    return {name: each for name, each in times.items() if any(each)}


def test_a_resnet(train, clock):
    backbone = ResNet()
    plant(backbone.bn1, clock, 1, 2)
    plant(backbone.layer3[1].conv2, clock, 30, 60)
    plant(backbone.layer4[0].downsample[0], clock, 7, 14)
    plant(backbone.fc, clock, 100, 200)
    _, (run, *samples), log = train(backbone, RESNET)
    named = [name for name in RESNET if name != 'downsample']  # only a part
    assert run['stages'] == ['data', *named, 'optimizer', 'communication', 'other']
    assert [sample['iteration'] for sample in samples] == [2, 4]
    assert samples[0]['clips'] == 4
    for sample in samples:
        assert times_of(sample) == {
            'stem': (1, 2),
            'stage3': (30, 60),
            'stage4': (7, 14),
            'stage4/downsample': (7, 14),
            'head': (100, 200),
        }
    for name, macs in {'stem': 3 * 8 * 7**2 * 16**2, 'head': 64 * 10}.items():
        assert run['costs'][name]['gmacs'] == pytest.approx(macs / 1e9)
    assert run['costs']['stage3']['parameters'] == sum(p.numel() for p in backbone.layer3.parameters())
    (row,) = [line for line in log.splitlines() if line.strip().startswith('stage3 ') and '-bound' in line]
    assert row.split()[1:3] == ['30.00', '60.00']
    assert 'Medians of 2 iterations of 4 clips, float32' in log


def test_a_swin(train, clock):
    backbone = Swin()
    for block in backbone.layers[0][:2]:
        plant(block.mlp[2], clock, 30, 60)
    plant(backbone.layers[1][0].attn.proj, clock, 5, 10)
    plant(backbone.layers[0][2], clock, 3, 6)
    _, (run, *samples), _ = train(backbone, SWIN)
    for sample in samples:
        assert times_of(sample) == {
            'stage1': (63, 126),
            'stage1/mlp': (60, 120),
            'stage2': (5, 10),
            'stage2/attention': (5, 10),
        }
    assert run['costs']['stage2']['gmacs'] > 0
    assert run['notes'] == []


def test_timms_swin(train, clock, monkeypatch):
    if importlib.util.find_spec('torchvision') is None:  # what timm loads data with; its networks do without
        for name in ('', '.datasets', '.ops', '.ops.misc', '.transforms', '.transforms.functional'):
            monkeypatch.setitem(sys.modules, f'torchvision{name}', MagicMock(__spec__=None, __version__='0'))
    timm = pytest.importorskip('timm', reason='pip install --no-deps timm', exc_type=ImportError)
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(2, 4), window_size=4, num_classes=10
    )
    plant(model.layers[0].blocks[1].mlp.fc2, clock, 30, 60)
    plant(model.layers[1].blocks[0].attn.proj, clock, 5, 10)
    _, (_, *samples), _ = train(model, SWIN)
    for sample in samples:
        assert times_of(sample) == {
            'stage1': (30, 60),
            'stage1/mlp': (30, 60),
            'stage2': (5, 10),
            'stage2/attention': (5, 10),
        }


def test_the_weights_are_those_of_a_training_without_hooks(train):
    weights = []
    for stages in (None, RESNET):
        torch.manual_seed(0)
        backbone = ResNet()
        train(backbone, stages, randomness=dict(seed=0))
        weights.append(backbone.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(weights[0].values(), weights[1].values(), strict=True))
    assert not backbone.layer1._forward_hooks


def test_what_cannot_be_told_apart_is_logged_and_in_the_record(train):
    backbone = ResNet()
    backbone.unused = nn.Linear(1, 1)
    _, (run, *_), log = train(backbone, {'body': 'backbone.layer*', 'unused': '*.unused'})
    note = 'stage unused: none of its modules was called outside of a compiled graph'
    assert run['notes'] == [note]
    assert sum(note in line and 'WARNING' in line for line in log.splitlines()) == 1


def test_a_path_that_is_wrong_ends_the_training_before_it_begins(train):
    with pytest.raises(ConfigError, match=r"matches no module; did you mean 'backbone.layer1' or"):
        train(ResNet(), {'body': 'backbone.layr1'})
