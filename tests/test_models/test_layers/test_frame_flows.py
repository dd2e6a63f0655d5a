import pytest
import torch
from torch import nn

from vrtspike.errors import CheckpointError, ConfigError, DataError
from vrtspike.models import VRT, SpikeRestorer, VRTLite
from vrtspike.models.layers.flow import SpyNet, clip_flows
from vrtspike.models.layers.frame_flows import flow_steps_of, frame_flows
from vrtspike.models.layers.spike_flow import STEPS, SCFlow
from vrtspike.models.tiling import Tiling
from vrtspike.testing.sweep import TINY_BACKBONE

NARROW = dict(embed_dims=[8] * 7, depths=[0] * 7)


def windows(frames=3, size=(16, 24)):
    return (torch.rand(1, frames, STEPS, *size, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def image(frames=3, size=(32, 48)):
    return torch.rand(1, frames, 3, *size, generator=torch.Generator().manual_seed(0))


class Right(nn.Module):
    """Everything moves three spike pixels to the right."""

    def forward(self, reference, neighbour):
        flow = torch.zeros(len(reference), 2, *reference.shape[-2:])
        flow[:, 0] = 3
        return [flow]


def lite(**changes):
    torch.manual_seed(0)
    model = VRTLite(**NARROW, flow='spikes', **changes).eval()
    nn.init.normal_(model.conv_last.weight, std=0.5)
    nn.init.normal_(model.flow.flow_estimators.conv4[0].weight, std=0.1)  # flow of a pixel or two
    for i in range(3, 6):
        nn.init.normal_(getattr(model, f'stage{i}').align.pointwise.weight, std=0.3)
    return model


def test_flows_are_in_pixels_of_each_scale_of_the_frames():
    scales = frame_flows(Right(), image(), windows(), distances=2)
    assert len(scales) == 4
    for scale, (backward, forward) in zip((1, 2, 4, 8), scales, strict=True):
        for distance, flow in enumerate((*backward, *forward)):
            expected = 3 * 2 / scale * (1 + distance % 2)  # frames are twice as large as spikes
            assert flow.shape == (1, 2 - distance % 2, 2, 32 // scale, 48 // scale)
            inside = flow[..., : 24 // scale]  # the second step of a longer flow does not begin outside
            torch.testing.assert_close(inside[:, :, 0], torch.full_like(inside[:, :, 0], expected))
            assert not flow[:, :, 1].any()


def test_without_windows_they_are_those_of_the_clip():
    torch.manual_seed(0)
    network = SpyNet()
    expected = [flow for both in clip_flows(network, image(), 1) for flows in both for flow in flows]
    found = [flow for both in frame_flows(network, image(), None, 1) for flows in both for flow in flows]
    assert all(map(torch.equal, found, expected))


def test_one_frame_has_no_flow_and_flow_comes_from_frames_or_spikes():
    assert frame_flows(Right(), image(1), windows(1), 1)[1][0][0].shape == (1, 0, 2, 16, 24)
    assert (flow_steps_of('rgb'), flow_steps_of('spikes')) == (0, 25)
    with pytest.raises(ConfigError, match=r"flow='raft', expected one of 'rgb', 'spikes'"):
        VRTLite(flow='raft')


@pytest.mark.parametrize('backbone', [VRTLite(**NARROW, flow='spikes'), VRT(**TINY_BACKBONE, flow='spikes')])
def test_the_flow_network_is_trained_and_sees_nothing_but_spikes(backbone):
    nn.init.normal_(backbone.conv_last.weight, std=0.1)
    seen = windows(2, (8, 8)).requires_grad_()
    restored = backbone(image(2, (16, 16)), flow_spikes=seen)
    assert restored.shape == (1, 2, 3, 16, 16)
    restored.square().sum().backward()
    network = getattr(backbone, 'spynet', None) or backbone.flow
    assert isinstance(network, SCFlow)
    assert all(parameter.grad.any() for parameter in network.parameters())
    assert seen.grad.any()


def test_clips_may_have_any_size():
    assert lite()(image(2, (18, 22)), flow_spikes=windows(2, (9, 11))).shape == (1, 2, 3, 18, 22)


@pytest.mark.parametrize('given', [None, windows(2)[:, :, :8]])
def test_missing_windows_are_refused(given):
    with pytest.raises(DataError, match=r"flow='spikes' needs the spikes around each frame, \(1, 2, 25, Hs, Ws\)"):
        lite()(image(2), flow_spikes=given)


def test_weights_are_loaded_strictly(tmp_path):
    torch.manual_seed(3)
    weights = SCFlow().state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'flow.pth.tar')
    for network in (
        VRTLite(flow='spikes', flow_weights=str(tmp_path / 'flow.pth.tar')).flow,
        VRT(**TINY_BACKBONE, flow='spikes', spynet_path=str(tmp_path / 'flow.pth.tar')).spynet,
    ):
        assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    weights.popitem()
    torch.save(weights, tmp_path / 'flow.pth.tar')
    with pytest.raises(CheckpointError, match='SCFlow'):
        VRTLite(flow='spikes', flow_weights=str(tmp_path / 'flow.pth.tar'))


def restorer(**changes):
    torch.manual_seed(0)
    fusion = dict(spike_encoder=dict(type='SpikeEncoder3D', bins=2, channels=8, scales=1), fusion_stages=[1])
    return SpikeRestorer(lite(), **(fusion | dict(fusion=dict(type='ConcatFusion')) | changes)).eval()


@torch.no_grad()
def test_a_restorer_divides_the_spikes_into_bins_and_windows():
    model, seen = restorer(), windows()
    assert (model.spike_bins, model.data_preprocessor.flow_steps) == (27, 25)
    binned = torch.rand(1, 3, 2, 16, 24)
    restored = model(image(), torch.cat((binned, seen), dim=2))
    assert not torch.equal(restored, model(image(), torch.cat((binned, 1 - seen), dim=2)))
    assert not torch.equal(restored, model(image(), torch.cat((1 - binned, seen), dim=2)))
    alone = restorer(fusion=None)
    expected = alone.backbone(image(), flow_spikes=seen)
    assert torch.equal(alone(image(), torch.cat((binned, seen), dim=2)), expected)
    with pytest.raises(DataError, match='this network uses spikes, but the data have none'):
        alone(image())


@torch.no_grad()
@pytest.mark.parametrize(
    ('frames', 'width', 'tiling', 'share'),
    [
        (9, 16, Tiling((8, 0, 0), (7, 0, 0), blend=0), 1e-3),  # alignment reaches three frames far
        (2, 480, Tiling((0, 0, 400), (0, 0, 320), blend=0), 0.05),
    ],
)
def test_tiles_give_what_the_whole_clip_gives(frames, width, tiling, share):
    """Exactly in time; in space nearly, because coarse flows are upsampled with aligned corners, as published."""
    spikes = torch.cat((torch.zeros(1, frames, 1, 8, width), windows(frames, (8, width))), dim=2).double()
    blur = image(frames, (8, width)).double()
    model = restorer(fusion=None, tiling=tiling).double()
    tiled, whole = model(blur, spikes, mode='predict')[0]['restored'], model(blur, spikes)[0].clamp(0, 1)
    reversed_steps = torch.cat((spikes[:, :, :1], spikes[:, :, 1:].flip(2, 3)), dim=2)
    effect = (model(blur, reversed_steps)[0].clamp(0, 1) - whole).abs().mean()
    assert effect > 1e-5
    assert (tiled - whole).abs().mean() < share * effect
