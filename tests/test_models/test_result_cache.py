"""What is the same at several instants is computed once, as far as the cache holds it, and changes no result."""

import pytest
import torch
from torch import nn

from tests.tiny_networks import awake
from vrtspike.models.layers.flow import SharedPyramidFlow
from vrtspike.models.result_cache import cached_results
from vrtspike.registry import MODELS

BACKBONES = {
    'lite': dict(type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7),
    'cnn': dict(type='ResidualCNN', channels=8, depths=[1, 1]),
}


def restorer(backbone, fusion_stages):
    torch.manual_seed(0)
    network = dict(
        type='SpikeRestorer',
        backbone=BACKBONES[backbone],
        spike_encoder=dict(type='SpikeEncoder3D', bins=4, channels=8, scales=1),
        fusion=dict(type='ConcatFusion'),
        fusion_stages=fusion_stages,
        time=dict(type='TimeEmbedding'),
    )
    return awake(MODELS.build(network)).eval()


def count_calls(module):
    calls = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_the_cache_can_be_cleared_and_the_network_is_left_as_it_was():
    flow = SharedPyramidFlow()
    a, b = torch.rand(2, 1, 3, 16, 16)
    with cached_results(nn.Sequential(flow)) as clear:
        first = flow(a, b)
        assert flow(a.clone(), b) is first
        assert flow(b, a) is not first
        clear()
        assert flow(a, b) is not first
    assert 'forward' not in vars(flow)


def test_results_that_do_not_fit_are_computed_again():
    flow = SharedPyramidFlow()
    a, b = torch.rand(2, 1, 3, 16, 16)
    size = sum(scale.nbytes for scale in flow(a, b))
    with cached_results(nn.Sequential(flow), max_bytes=size) as clear:
        cached = flow(a, b)
        assert flow(b, a) is not flow(b, a)
        assert flow(a, b) is cached
        clear()
        other = flow(b, a)
        assert flow(b, a) is other


@pytest.mark.parametrize(
    ('backbone', 'shared', 'apart'),
    [('lite', 'stage1.blocks.0', 'stage2.blocks.0'), ('cnn', 'stages.0.0', 'stages.1.0')],
)
@torch.inference_mode()
def test_features_before_the_first_spikes_are_computed_once(backbone, shared, apart):
    network = restorer(backbone, [1])
    blur, other = torch.rand(2, 1, 3, 3, 16, 16)
    spikes = torch.rand(3, 1, 3, 4, 8, 8)
    instants = torch.tensor([0.0, 0.5, 1.0])[:, None, None].expand(3, 1, 3)
    expected = [network(blur, each, instant=instant) for each, instant in zip(spikes, instants, strict=True)]
    modules = dict(network.backbone.named_modules())
    shared, apart = count_calls(modules[shared]), count_calls(modules[apart])
    with cached_results(network):
        for each, instant, result in zip(spikes, instants, expected, strict=True):
            assert network(blur, each, instant=instant).equal(result)
        assert (len(shared), len(apart)) == (1, 3)
        network(other, spikes[0])
        assert len(shared) == 2


def test_a_network_that_sees_estimates_from_the_start_has_nothing_to_share():
    parts = dict(backbone=BACKBONES['lite'], start='sdm', time=dict(type='TimeEmbedding'))
    assert MODELS.build(dict(type='SpikeRestorer', **parts)).parts_before_instant() == []


def test_fusion_after_the_input_shares_the_input_alone():
    network = restorer('cnn', [0])
    assert network.parts_before_instant() == [network.backbone.first]
    assert network.time.linear.out_features == network.backbone.stage_channels[0]
