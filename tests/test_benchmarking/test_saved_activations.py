"""The memory of saved activations, compared with a network counted by hand."""

from types import SimpleNamespace

import torch
from torch import nn

from vrtspike.benchmarking.saved_activations import saved_activations_mib
from vrtspike.profiling import stage
from vrtspike.runtime.device import MIB


class TwoStages(nn.Module):
    """Two stages, of which each saves its input once for the gradient of its square."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.backbone = SimpleNamespace(in_channels=3)

    def forward(self, blur, sharp, mode):
        assert mode == 'loss'
        assert blur.device.type == 'meta'
        with stage('first'):
            x = (blur + self.scale).square()
        with stage('second'):
            x = x.square()
        return {'loss': x.sum()}


def test_every_stage_has_the_memory_that_it_saves():
    shape = (1, 2, 3, 64, 64)
    size = torch.empty(shape, device='meta').nbytes / MIB
    assert saved_activations_mib(TwoStages(), shape) == {'first': size, 'second': size}


def test_frozen_parameters_save_nothing():
    model = TwoStages().requires_grad_(False)
    assert saved_activations_mib(model, (1, 2, 3, 8, 8)) == {}
