"""Counts of whole restorers, pinned for the networks of the guide."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vrtspike.benchmarking.restorer_costs import count_clip, count_config, count_restorer
from vrtspike.config import load_config
from vrtspike.errors import ConfigError
from vrtspike.models import SpikeRestorer
from vrtspike.profiling import stage
from vrtspike.profiling.flops import CannotCount
from vrtspike.testing.sweep import TINY_BACKBONE

LITE = dict(type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7)

# Shares of stages 1-8 as derived from the architecture at T = 5.
SHARES = {
    'vrt_spike_v0': (26, 7, 2, 0.5, 2, 7, 26, 30),
    'vrt_spike_baseline': (36, 9, 2, 0.5, 2, 7, 28, 16),
    'vrt_spike_opt': (38, 9, 2, 0.5, 2, 7, 29, 12),
    'vrt_spike_fast': (40, 9, 2, 0.5, 2, 8, 31, 8),
}
GMACS = {
    'vrt_spike_v0': 3970.889099264,
    'vrt_spike_baseline': 2970.698590208,
    'vrt_spike_opt': 2796.707139584,
    'vrt_spike_fast': 2604.619427840,
}

PARAMETERS = {
    'vrt_spike_v0': 23_675_463,
    'vrt_spike_baseline': 20_498_211,
    'vrt_spike_opt': 20_068_821,
    'vrt_spike_fast': 19_399_011,
}
SLOW = {'vrt_spike_v0', 'vrt_spike_opt'}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SHARES]
)
def test_the_guides_networks(name):
    costs = count_config(load_config(f'configs/{name}.py').model, (5, 256, 256))
    macs = [costs.stages[f'stage{i}'].macs for i in range(1, 9)]
    assert [100 * each / sum(macs) for each in macs] == pytest.approx(SHARES[name], abs=1)
    assert costs.total.macs / 1e9 == pytest.approx(GMACS[name], rel=1e-12)
    assert costs.total.parameters == PARAMETERS[name]
    assert (costs.unknown, costs.note, costs.clip_shape) == ({}, None, (5, 256, 256))
    assert costs.stages['other'].macs == 0


def test_a_restorer_without_spikes():
    """It costs what the same network costs with spikes, without the stages of the spikes."""
    encoder = dict(type='SpikeEncoder3D', bins=4, channels=8)
    fusion = dict(type='TemporalCrossAttention', heads=4, time_slope=6.0)
    with_spikes = SpikeRestorer(LITE, spike_encoder=encoder, fusion=fusion, fusion_stages=[1])
    expected = {name: cost.macs for name, cost in count_restorer(with_spikes, (2, 16, 16)).stages.items()}
    assert expected.pop('spike_encoder') > 0
    assert expected.pop('fuse1') > 0
    costs = count_restorer(SpikeRestorer(LITE, fusion=None), (2, 16, 16))
    assert {name: cost.macs for name, cost in costs.stages.items()} == expected


def test_spikes_that_do_not_fit_are_refused():
    model = SimpleNamespace(uses_spikes=True)
    with pytest.raises(ConfigError, match='17x16 are no whole number of spike pixels at a ratio of 2'):
        count_restorer(model, (2, 17, 16))


def test_large_clips_allocate_nothing(monkeypatch):
    """The masks of shifted windows at 1080p, as floats for every window, would take 13 GiB a block."""
    real = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **kwargs or {})
            real.extend(out.numel() for _ in [0] if isinstance(out, torch.Tensor) and not out.is_meta)
            return out

    backbone = dict(type='VRT', **TINY_BACKBONE | dict(depths=[2] * 8, window_size=[2, 8, 8]))
    model = SpikeRestorer(backbone, fusion=None)
    with Watch():
        count_restorer(model, (4, 1080, 1920))
    weights = sum(tensor.numel() for tensor in model.state_dict().values())
    assert max(real) <= weights


@pytest.mark.parametrize('recipe', ['distillation', 'perceptual'])
def test_files_of_teachers_and_losses_are_not_needed(recipe):
    options = {'model.backbone.depths': [1] * 8, 'model.feature_weight': 0.0} if recipe == 'distillation' else {}
    config = load_config(f'configs/recipes/{recipe}.py', overrides=options)
    assert count_config(config.model, (5, 64, 64)).total.macs > 0


class Reads(nn.Module):
    """A backbone of one convolution that reads a value."""

    def __init__(self, fails=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.fails = fails

    def forward(self, blur, spikes=None):
        with stage('input'):
            if self.fails:
                raise IndexError('no such frame')
            return self.conv(blur.flatten(0, 1)) * float(blur.mean())


@pytest.mark.parametrize(
    ('size', 'spike_size', 'largest', 'counted'),
    [
        ((720, 1280), (360, 640), 64, (64, 64)),
        ((720, 1280), (250, 400), 100, (72, 96)),  # ratios of 72/25 and 16/5
        ((720, 50), None, 64, (64, 50)),
        ((96, 80), (48, 40), None, (96, 80)),
    ],
)
def test_a_network_that_reads_values_is_counted_for_a_small_clip(size, spike_size, largest, counted):
    blur = torch.empty(1, 2, 3, *size)
    costs = count_clip(Reads(), blur, None if spike_size is None else torch.empty(1, 2, 4, *spike_size), largest)
    assert costs.clip_shape == (2, *counted)
    assert costs.total.macs == 2 * 9 * counted[0] * counted[1]
    assert costs.note.startswith('the network needs values (Reads: ')
    assert ('smaller clip' in costs.note) == (size != counted)


def test_a_network_that_cannot_run_at_all_is_one_error():
    with pytest.raises(CannotCount, match='Reads: IndexError: no such frame'):
        count_clip(Reads(fails=True), torch.empty(1, 2, 3, 8, 8))
