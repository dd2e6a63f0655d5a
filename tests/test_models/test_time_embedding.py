"""The embedding of the instant: silent in the middle and before training, and felt elsewhere after it."""

import torch

from tests.tiny_networks import awake
from vrtspike.models import TimeEmbedding
from vrtspike.models.tiling import Tiling
from vrtspike.registry import MODELS

LITE = dict(
    type='SpikeRestorer',
    backbone=dict(type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7),
    spike_encoder=dict(type='SpikeEncoder3D', bins=4, channels=8, scales=1),
    fusion=dict(type='ConcatFusion'),
    fusion_stages=[1],
)


def restorers():
    torch.manual_seed(0)
    timed = awake(MODELS.build({**LITE, 'time': dict(type='TimeEmbedding')})).eval()
    plain = MODELS.build(LITE).eval()
    missing = plain.load_state_dict(timed.state_dict(), strict=False)
    assert missing.unexpected_keys == ['time.linear.weight']
    assert not missing.missing_keys
    return timed, plain


def inputs(clips=2):
    torch.manual_seed(1)
    return torch.rand(clips, 3, 3, 16, 24), torch.rand(clips, 3, 4, 8, 12)


def test_an_untrained_embedding_changes_nothing():
    features = torch.randn(2, 6, 3, 4, 4)
    assert TimeEmbedding(6)(features, torch.rand(2, 3)).equal(features)


def test_the_middle_is_bit_equal_to_a_network_without_the_embedding():
    timed, plain = restorers()
    blur, spikes = inputs()
    expected = plain(blur, spikes)
    assert timed(blur, spikes).equal(expected)
    assert timed(blur, spikes, instant=torch.full((2, 3), 0.5)).equal(expected)
    assert plain(blur, spikes, instant=torch.zeros(2, 3)).equal(expected)


def test_clips_of_a_batch_may_be_at_different_instants():
    timed, _ = restorers()
    blur, spikes = inputs()
    instant = torch.tensor([[0.0] * 3, [0.75] * 3])
    both = timed(blur, spikes, instant=instant)
    for i in range(2):
        one = slice(i, i + 1)
        torch.testing.assert_close(both[one], timed(blur[one], spikes[one], instant=instant[one]))
    assert (both - timed(blur, spikes)).abs().max() > 1e-3


def test_tiles_get_the_instants_of_their_frames():
    timed, _ = restorers()
    blur, spikes = inputs()
    instant = torch.rand(2, 3)
    whole = timed(blur, spikes, instant=instant, mode='predict')
    timed.tiling = Tiling((0, 8, 0), (0, 0, 0), tiles_per_batch=2)
    tiled = timed(blur, spikes, instant=instant, mode='predict')
    alone = timed(blur[..., :8, :], spikes[..., :4, :], instant=instant, mode='tensor').clamp(0, 1)
    assert tiled[0]['restored'].shape == whole[0]['restored'].shape
    torch.testing.assert_close(torch.stack([clip['restored'] for clip in tiled])[..., :8, :], alone)


def test_a_network_without_spikes_can_know_the_instant():
    torch.manual_seed(0)
    network = awake(
        MODELS.build(dict(type='SpikeRestorer', backbone=LITE['backbone'], time=dict(type='TimeEmbedding')))
    )
    blur, _ = inputs()
    assert not network(blur, instant=torch.zeros(2, 3)).equal(network(blur))


def test_the_weights_learn():
    embedding = TimeEmbedding(6)
    embedding(torch.zeros(1, 6, 2, 1, 1), torch.tensor([[0.1, 0.9]])).sum().backward()
    assert embedding.linear.weight.grad.any()
