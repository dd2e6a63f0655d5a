"""Trainings of two processes are in test_parallel.py."""

import pytest
import torch
from torch import nn

from vrtspike.engine.fully_sharded import FullyShardedStrategy, map_tensors, parts
from vrtspike.errors import ConfigError


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss = nn.L1Loss()
        self.backbone = nn.Module()
        self.backbone.first = nn.Conv2d(1, 1, 1)
        self.backbone.activation = nn.GELU()
        self.backbone.stages = nn.ModuleList([nn.Linear(1, 1), nn.ModuleDict({'a': nn.Linear(1, 1)})])
        self.fusion = nn.ModuleDict({'stage1': nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))})


def test_the_parts_are_the_modules_that_run_and_have_weights():
    model = Network()
    backbone, fusion = model.backbone, model.fusion
    expected = [backbone.first, backbone.stages[0], backbone.stages[1]['a'], *fusion['stage1']]
    assert list(parts(model)) == expected


def test_tensors_are_mapped_at_every_depth():
    tree = {'state': {0: {'step': torch.ones(()), 'name': 'x'}}, 'groups': [{'lr': 0.1, 'ids': [0]}, torch.ones(2)]}
    mapped = map_tensors(tree, lambda tensor: tensor.shape)
    assert mapped == {'state': {0: {'step': (), 'name': 'x'}}, 'groups': [{'lr': 0.1, 'ids': [0]}, (2,)]}


def test_a_single_process_is_told_how_to_start_several():
    with pytest.raises(ConfigError, match=r'tools/dist_train\.sh CONFIG PROCESSES'):
        FullyShardedStrategy()
