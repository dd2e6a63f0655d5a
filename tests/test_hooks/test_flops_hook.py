import logging
import re
from types import SimpleNamespace

import pytest
import torch

from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.hooks import FlopsHook
from vrtspike.models import SpikeRestorer
from vrtspike.testing.sweep import TINY_BACKBONE

BACKBONE = dict(type='VRT', **TINY_BACKBONE | dict(img_size=[3, 16, 16], window_size=[3, 4, 4]))


@pytest.mark.parametrize('start', ['blur', 'sdm'])
def test_the_network_is_counted_once_at_the_first_batchs_padded_size(start, caplog):
    encoder, fusion = dict(type='SpikeEncoder3D', bins=4, channels=8), dict(type='TemporalCrossAttention', heads=2)
    model = SpikeRestorer(BACKBONE, spike_encoder=encoder, fusion=fusion, start=start)
    runner = SimpleNamespace(model=model, logger=logging.getLogger('vrtspike.test'))
    batch = {
        'blur': torch.zeros(4, 3, 3, 12, 16, dtype=torch.uint8),
        'sdm': torch.zeros(4, 3, 3, 12, 16, dtype=torch.uint8),
        'spikes': torch.zeros(4, 3, 4, 6, 8),
        'meta': {},
    }
    hook = FlopsHook()
    with caplog.at_level(logging.INFO):
        for i in range(2):
            hook.before_train_iter(runner, i, batch)
    assert hook.costs.clip_shape == (3, 16, 16)
    assert hook.costs.stages == count_restorer(model, (3, 16, 16)).stages
    (message,) = caplog.messages
    assert 'One clip of 3 frames of 16 x 16 pixels, forward' in message
    assert 'without multiply-accumulates: ' in message
    assert 'NOT COUNTED' not in message


class Reads(torch.nn.Linear):
    """A network whose code needs values."""

    def data_preprocessor(self, batch):
        return batch

    def forward(self, blur):
        return super().forward(blur) * blur.sum().item()


@pytest.mark.parametrize(
    ('batch', 'found'),
    [
        ({'blur': torch.zeros(2, 3, 3, 8, 8)}, None),
        ({'blur': torch.zeros(2, 3, 3, 8, 7)}, 'CannotCount: Reads: RuntimeError: .*'),
        ({'image': torch.zeros(1)}, 'CannotCount: nobody called Reads, only modules inside of it'),
    ],
)
def test_a_count_that_fails_does_not_end_a_training(batch, found, caplog):
    runner = SimpleNamespace(model=Reads(8, 8), logger=logging.getLogger('vrtspike.test'))
    hook = FlopsHook()
    with caplog.at_level(logging.INFO):
        for i in range(2):
            hook.before_train_iter(runner, i, batch)
            hook.after_train_iter(runner, i, batch)
    (message,) = caplog.messages
    if found is None:
        assert 'NOTE: the network needs values (Reads: RuntimeError: ' in message
        assert hook.costs.total.macs == 3 * 3 * 8 * 8 * 8
    else:
        expected = (
            rf'FlopsHook failed \({found}\): this run lacks counted multiply-accumulates\. The training continues\.'
        )
        assert re.fullmatch(expected, message)
        assert hook.costs is None


def test_any_other_network_is_counted_while_it_trains(caplog):
    model = torch.nn.Linear(8, 4)
    runner = SimpleNamespace(model=model, logger=logging.getLogger('vrtspike.test'))
    hook = FlopsHook()
    batch = [torch.zeros(6, 8), torch.zeros(6)]
    with caplog.at_level(logging.INFO):
        for i in range(2):
            hook.before_train_iter(runner, i, batch)
            model(batch[0])
            hook.after_train_iter(runner, i, batch)
    assert (hook.costs.total.macs, hook.costs.clips) == (6 * 8 * 4, 6)
    (message,) = caplog.messages
    assert 'One batch of 6, forward (1 GMAC = 2 GFLOP)' in message
    assert not model._forward_hooks
