import logging
from types import SimpleNamespace

import torch

from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.hooks import FlopsHook
from vrtspike.models import SpikeRestorer

BACKBONE = dict(
    type='VRT',
    upscale=1,
    window_size=(3, 4, 4),
    depths=[1] * 8,
    indep_reconsts=[],
    embed_dims=[8] * 8,
    num_heads=[2] * 8,
    deformable_groups=2,
    pa_frames=2,
)


def test_the_network_is_counted_once_at_the_first_batchs_padded_size(caplog):
    encoder, fusion = dict(type='SpikeEncoder3D', bins=4, channels=8), dict(type='TemporalCrossAttention', heads=2)
    model = SpikeRestorer(BACKBONE, spike_encoder=encoder, fusion=fusion)
    runner = SimpleNamespace(model=model, logger=logging.getLogger('vrtspike.test'))
    batch = {
        'blur': torch.zeros(4, 3, 3, 12, 16, dtype=torch.uint8),
        'spikes': torch.zeros(4, 3, 4, 6, 8),
        'meta': {},
    }
    hook = FlopsHook()
    with caplog.at_level(logging.INFO):
        for i in range(2):
            hook.before_train_iter(runner, i, batch)
    assert hook.clip_shape == (3, 16, 16)
    assert hook.costs.stages == count_restorer(model, (3, 16, 16)).stages
    (message,) = caplog.messages
    assert 'One clip of 3 frames of 16 x 16 pixels, forward' in message
    assert 'without multiply-accumulates: ' in message
    assert 'NOT COUNTED' not in message
