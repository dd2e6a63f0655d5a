import pytest
import torch
from tiny_networks import awake
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.models import SpikeRestorer
from vrtspike.models.fusion import EarlyFusion
from vrtspike.models.fusion.pixel_adaptive import PixelAdaptiveFusion

GATED = dict(type='GatedFusion')
OPERATORS = [
    GATED,
    dict(type='TemporalCrossAttention', heads=2),
    dict(type='SelectiveScanFusion', states=2),
    dict(type='PixelAdaptiveFusion'),
]
BACKBONE = dict(type='VRTLite', embed_dims=[8] * 7, depths=[0] * 7)


def make(operator=GATED, **arguments):
    torch.manual_seed(0)
    return EarlyFusion(**{**dict(clip_channels=3, bins=8, subframes=4, channels=4), **arguments}, operator=operator)


def clip_and_spikes(frames=3):
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(1, frames, 3, 16, 16, generator=generator),
        torch.rand(1, frames, 8, 8, 8, generator=generator),
    )


@pytest.mark.parametrize('output', ['collapsed', 'expanded'])
@pytest.mark.parametrize('operator', OPERATORS, ids=lambda node: node['type'])
def test_every_operator_begins_as_the_identity_and_learns(operator, output):
    clip, spikes = clip_and_spikes()
    copies = 4 if output == 'expanded' else 1
    early = make(operator, output=output)
    assert torch.equal(early(clip, spikes), clip.repeat_interleave(copies, dim=1))
    fused = awake(early)(clip, spikes)
    assert fused.shape == (1, 3 * copies, 3, 16, 16)
    fused.square().sum().backward()
    assert all(parameter.grad.any() for parameter in early.parameters() if parameter.numel() > 16)


def test_a_subframe_sees_its_own_bins():
    early = awake(make(output='expanded'))  # GatedFusion mixes nothing along time
    clip, spikes = clip_and_spikes()
    changed = spikes.clone()
    changed[:, 1, 4:6] = 0  # sub-frame 2 of frame 1
    differs = (early(clip, changed) != early(clip, spikes)).flatten(2).any(dim=2)[0]
    assert differs.nonzero().flatten().tolist() == [4 + 2]


def test_collapsing_joins_the_subframes_of_one_frame():
    early = awake(make())
    clip, spikes = clip_and_spikes()
    changed = spikes.clone()
    changed[:, 1, 4:6] = 0
    differs = (early(clip, changed) != early(clip, spikes)).flatten(2).any(dim=2)[0]
    assert differs.tolist() == [False, True, False]


@pytest.mark.parametrize('output', ['collapsed', 'expanded'])
def test_a_restorer_restores_one_frame_per_exposure(output):
    node = dict(type='EarlyFusion', operator=GATED, bins=8, subframes=4, channels=4, output=output)
    model = awake(SpikeRestorer(BACKBONE, early_fusion=node)).eval()
    clip, spikes = clip_and_spikes()
    assert (model.uses_spikes, model.spike_bins) == (True, 8)
    assert model.cost_stages()[0] == 'early_fusion'
    restored = model(clip, spikes)
    assert restored.shape == clip.shape
    assert not torch.equal(restored, model(clip, 1 - spikes))
    if output == 'expanded':
        every = model.backbone(model.early_fusion(clip, spikes))
        assert torch.equal(restored, every[:, [2, 6, 10]])  # the middle of each exposure
    (predicted,) = model(clip, spikes, mode='predict')
    torch.testing.assert_close(predicted['restored'], restored[0].clamp(0, 1))


def test_early_and_late_fusion_work_together_only_if_collapsed():
    late = dict(
        spike_encoder=dict(type='SpikeEncoder3D', bins=8, channels=8, scales=1), fusion=GATED, fusion_stages=[1]
    )
    node = dict(type='EarlyFusion', operator=GATED, bins=8, channels=4)
    clip, spikes = clip_and_spikes()
    assert SpikeRestorer(BACKBONE, early_fusion=node, **late)(clip, spikes).shape == clip.shape
    with pytest.raises(ConfigError, match=r"output='collapsed'"):
        SpikeRestorer(BACKBONE, early_fusion=dict(node, output='expanded'), **late)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ConfigError, match='subframes=3 does not divide bins=8'):
        make(subframes=3)
    with pytest.raises(ConfigError, match='expected one of collapsed, expanded'):
        make(output='both')
    clip, spikes = clip_and_spikes()
    with pytest.raises(ConfigError, match=r'EarlyFusion\(bins=8\) got spikes of 4 bins'):
        make()(clip, spikes[:, :, :4])


def test_a_pixel_adaptive_kernel_is_the_weighted_mean_of_the_neighbourhood():
    head = PixelAdaptiveFusion(2)
    spike = torch.rand(1, 2, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weights, value, found = head.kernels(spike).softmax(1), head.value(spike), head.filtered(spike)
    padded = nn.functional.pad(value, (1, 1, 1, 1))
    expected = torch.zeros_like(value)
    for i in range(9):
        row, column = divmod(i, 3)
        expected += weights[:, i : i + 1] * padded[..., row : row + 5, column : column + 6]
    torch.testing.assert_close(found, expected)
    with pytest.raises(ConfigError, match='odd'):
        PixelAdaptiveFusion(2, kernel_size=2)
