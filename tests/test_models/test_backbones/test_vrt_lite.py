import pytest
import torch
from torch import nn

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.models import VRT, SpikeRestorer, VRTLite
from vrtspike.models.backbones.vrt_lite import LiteStage, SeparableAlignment
from vrtspike.models.layers.flow import PRETRAINED_LEVEL, SharedPyramidFlow
from vrtspike.testing.sweep import TINY_BACKBONE


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters():
    model = VRTLite()
    assert count(model) == 710_741
    assert count(model.flow) == 240_050


def test_untrained_it_is_exactly_the_identity():
    clip = torch.rand(2, 3, 3, 13, 18)
    assert torch.equal(VRTLite()(clip), clip)


def test_scales_and_fusion_stages_are_those_of_vrt():
    assert VRTLite().stage_scales == VRT(**TINY_BACKBONE).stage_scales
    assert set(VRTLite.cost_stages()) == set(VRT.cost_stages()) - {'stage8'}


def test_a_neighbour_matters_and_a_stranger_beyond_reach_does_not():
    """Two aligned stages at 1/4, one at 1/8: a frame reaches at most three frames far."""
    torch.manual_seed(0)
    model = VRTLite(embed_dims=[8] * 7, depths=[1] * 7).eval()
    nn.init.normal_(model.conv_last.weight)
    clip = torch.rand(1, 6, 3, 16, 16)
    changed = clip.clone()
    changed[:, 0] = torch.rand(3, 16, 16)
    with torch.no_grad():
        difference = (model(changed) - model(clip)).abs().amax((0, 2, 3, 4))
    assert (difference[1:4] > 1e-6).all()
    assert torch.equal(difference[4:], torch.zeros(2))


def test_alignment_brings_a_moved_frame_to_where_it_was():
    """The pointwise layer reads the centre taps of the aligned neighbour: it is the frame itself."""
    align = SeparableAlignment(2)
    with torch.no_grad():
        for parameter in align.parameters():
            parameter.zero_()
        align.depthwise.weight[:, :, 1, 1] = 1
        align.pointwise.weight[:, 2:4, 0, 0] = torch.eye(2)  # x, then the frame after, then the one before
        frame = torch.rand(1, 1, 2, 6, 8)
        clip = torch.cat((frame, frame.roll(2, dims=-1)), dim=1)
        right = torch.zeros(1, 1, 2, 6, 8)
        right[:, :, 0] = 2
        merged = align(clip, right, torch.zeros_like(right))
    torch.testing.assert_close(merged[:, 0, :, :, :-2], frame[:, 0, :, :, :-2])
    assert not merged[:, 1].any()


def test_only_stages_at_a_quarter_and_an_eighth_are_aligned():
    model = VRTLite()
    aligned = [getattr(model, f'stage{i}').align is not None for i in range(1, 8)]
    assert aligned == [False, False, True, True, True, False, False]


def test_a_stage_may_have_no_block():
    stage = LiteStage('down', 4, 6, depth=0, aligned=False)
    assert stage(torch.rand(1, 4, 2, 8, 8), None).shape == (1, 6, 2, 4, 4)


class TestFlow:
    def test_it_sees_motion(self):
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(1, 3, 12, 12, generator=generator)
        scene = nn.functional.interpolate(coarse, size=(96, 96), mode='bicubic').clamp(0, 1)
        first, second = scene[..., 8:72, 8:72], scene[..., 8:72, 6:70]
        with torch.no_grad():
            full, half = SharedPyramidFlow()(first, second)
        assert (full.shape, half.shape) == ((1, 2, 64, 64), (1, 2, 32, 32))
        assert 1.0 < full[0, 0, 16:-16, 16:-16].median() < 3.0
        assert 0.5 < half[0, 0, 8:-8, 8:-8].median() < 1.5

    def test_weights_from_a_file(self, tmp_path):
        level = torch.load(PRETRAINED_LEVEL)
        torch.save({name: torch.zeros_like(tensor) for name, tensor in level.items()}, tmp_path / 'zero.pth')
        assert not any(p.any() for p in VRTLite(flow_weights=str(tmp_path / 'zero.pth')).flow.parameters())

    def test_another_file_is_refused(self, tmp_path):
        torch.save({'w': torch.zeros(1)}, tmp_path / 'other.pth')
        with pytest.raises(CheckpointError, match=r'a single level of SpyNet.*missing \(basic_module\.0\.weight'):
            VRTLite(flow_weights=str(tmp_path / 'other.pth'))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(depths=[1] * 8), 'depths has 8 entries; expected one per stage, 7'),
        (dict(embed_dims=[8] * 6), 'embed_dims has 6 entries'),
        (dict(embed_dims=[8, 8, 8, 8, 8, 8, 12]), 'is not symmetric'),
        (dict(embed_dims=[0] * 7), r'embed_dims\[0\]=0; expected an integer above zero'),
        (dict(depths=[1, 1, 1, -1, 1, 1, 1]), r'depths=\[1, 1, 1, -1, 1, 1, 1\]'),
        (dict(in_chans=1), 'in_chans=1; expected at least 3'),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        VRTLite(**changes)


def test_it_carries_fusion_heads():
    model = SpikeRestorer(
        backbone=dict(type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7),
        spike_encoder=dict(type='SpikeEncoder3D', bins=4, channels=12),
        tsa=dict(type='TemporalSelfAttention', heads=2),
        fusion=dict(type='TemporalCrossAttention', heads=2),
        fusion_stages=[0, 1, 3, 7],
    )
    blur = torch.rand(1, 2, 3, 16, 16)
    nn.init.normal_(model.backbone.conv_last.weight)
    spikes = torch.rand(1, 2, 4, 8, 8, requires_grad=True)
    model(blur, spikes).square().mean().backward()
    assert spikes.grad.any()
