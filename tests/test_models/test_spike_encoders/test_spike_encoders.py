"""Spike encoders."""

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.spike_encoders import FrameSpikeEncoder, SpikeEncoder3D
from vrtspike.models.spike_encoders.patch import PatchMerging
from vrtspike.models.spike_encoders.separable import SpaceThenTime
from vrtspike.registry import SPIKE_ENCODERS


def test_parameters_and_channels_at_the_defaults():
    encoder = SPIKE_ENCODERS.build({'type': 'SpikeEncoder3D'})
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 4_812_672
    assert encoder.channels == (96, 96, 96, 96)


@settings(deadline=None, max_examples=20)
@given(*[st.integers(1, n) for n in (2, 3, 19, 19, 4)])
def test_maps_halve_in_space_rounding_up_and_keep_the_frames(batch, frames, height, width, scales):
    encoder = SpikeEncoder3D(bins=3, channels=4, scales=scales)
    maps = encoder(torch.rand(batch, frames, 3, height, width))
    assert [tuple(x.shape) for x in maps] == [
        (batch, channels, frames, ceil(height / 2**i), ceil(width / 2**i))
        for i, channels in enumerate(encoder.channels)
    ]


def test_gradients_reach_every_parameter_and_the_voxel():
    torch.manual_seed(0)
    encoder = SpikeEncoder3D(bins=3, channels=8, scales=3)
    voxel = torch.rand(1, 3, 3, 8, 8, requires_grad=True)
    sum(x.square().sum() for x in encoder(voxel)).backward()
    assert voxel.grad.abs().sum() > 0
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_a_later_scale_does_not_change_an_earlier_map():
    encoder = SpikeEncoder3D(bins=3, channels=8, scales=3).double()
    voxel = torch.rand(1, 3, 3, 8, 8, dtype=torch.float64)
    first = encoder.scales[0](voxel.transpose(1, 2))
    maps = encoder(voxel)
    torch.testing.assert_close(maps[0], first)
    torch.testing.assert_close(maps[1], encoder.scales[1](first))


def test_a_residual_block_without_its_branch_is_a_rectifier():
    block = SpikeEncoder3D(bins=3, channels=4, scales=1).scales[0][-1]
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.randn(1, 4, 2, 5, 5)
    assert torch.equal(block(x), x.relu())


def test_runs_under_bf16_autocast():
    encoder = SpikeEncoder3D(bins=3, channels=4, scales=2)
    voxel = torch.rand(1, 2, 3, 6, 6)
    with torch.autocast('cpu', torch.bfloat16):
        maps = encoder(voxel)
    assert maps[0].dtype == torch.bfloat16
    for half, full in zip(maps, encoder(voxel), strict=True):
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('argument', ['bins', 'channels', 'scales'])
def test_numbers_that_cannot_work_are_refused(argument):
    with pytest.raises(ConfigError, match=f'SpikeEncoder3D: {argument}=0'):
        SpikeEncoder3D(**{argument: 0})


@pytest.mark.parametrize('shape', [(1, 2, 16, 8, 8), (2, 32, 8, 8)])
def test_a_voxel_of_other_bins_or_dimensions_is_refused(shape):
    with pytest.raises(ConfigError, match=r'SpikeEncoder3D\(bins=3\) was given a voxel grid of shape'):
        SpikeEncoder3D(bins=3, channels=4)(torch.zeros(shape))


class TestVariants:
    @pytest.mark.parametrize(
        ('name', 'parameters'),
        [('SeparableSpikeEncoder', 2_160_384), ('PatchSpikeEncoder', 363_744), ('FrameSpikeEncoder', 27_744)],
    )
    def test_parameters_at_the_baseline_width(self, name, parameters):
        encoder = SPIKE_ENCODERS.build(dict(type=name))
        assert sum(p.numel() for p in encoder.parameters()) == parameters

    @pytest.mark.parametrize('name', SPIKE_ENCODERS.names())
    @pytest.mark.parametrize('scales', [1, 2, 4])
    def test_maps_halve_rounded_up(self, name, scales):
        encoder = SPIKE_ENCODERS.build(dict(type=name, bins=3, channels=4, scales=scales))
        shapes = [tuple(x.shape) for x in encoder(torch.rand(1, 2, 3, 9, 14))]
        assert shapes == [(1, 4, 2, 9, 14), (1, 4, 2, 5, 7), (1, 4, 2, 3, 4), (1, 4, 2, 2, 2)][:scales]

    @pytest.mark.parametrize('name', SPIKE_ENCODERS.names())
    def test_another_number_of_bins_is_refused(self, name):
        with pytest.raises(ConfigError, match=rf'{name}\(bins=3\) was given a voxel grid of shape \(1, 2, 4, 8, 8\)'):
            SPIKE_ENCODERS.build(dict(type=name, bins=3, channels=4))(torch.zeros(1, 2, 4, 8, 8))

    def test_space_then_time_equals_two_convolutions(self):
        conv, x = SpaceThenTime(3, 4, stride=2).double(), torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
        frames = F.conv3d(x, conv.space.weight[:, :, None], conv.space.bias, stride=(1, 2, 2), padding=(0, 1, 1))
        expected = F.conv3d(frames, conv.time.weight[..., None, None], conv.time.bias, padding=(1, 0, 0))
        torch.testing.assert_close(conv(x), expected)

    def test_frames_are_encoded_one_by_one(self):
        encoder = FrameSpikeEncoder(bins=3, channels=4, scales=2, depth=1)
        voxel = torch.rand(2, 3, 3, 6, 8)
        for whole, *frames in zip(encoder(voxel), *(encoder(voxel[:, i : i + 1]) for i in range(3)), strict=True):
            torch.testing.assert_close(whole, torch.cat(frames, dim=2))

    def test_a_negative_depth_is_refused(self):
        with pytest.raises(ConfigError, match='FrameSpikeEncoder: depth=-1'):
            FrameSpikeEncoder(depth=-1)

    def test_patches_do_not_overlap(self):
        merging = PatchMerging(2, 3).double()
        x = torch.randn(1, 2, 1, 4, 4, dtype=torch.float64)
        changed = x.clone()
        changed[..., 1, 1] += 1
        difference = (merging(changed) - merging(x)).abs().amax((0, 1, 2))
        assert difference[0, 0] > 1e-6
        difference[0, 0] = 0
        assert difference.max() == 0
