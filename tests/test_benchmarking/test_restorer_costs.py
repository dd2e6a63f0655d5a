"""Counts of whole restorers, pinned for the networks of the guide."""

from types import SimpleNamespace

import pytest

from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.config import load_config
from vrtspike.errors import ConfigError
from vrtspike.models import SpikeRestorer
from vrtspike.registry import MODELS

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


SLOW = {'vrt_spike_v0', 'vrt_spike_opt'}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SHARES]
)
def test_the_guides_networks(name):
    model = MODELS.build(load_config(f'configs/{name}.py').model)
    costs = count_restorer(model, (5, 256, 256))
    macs = [costs.stages[f'stage{i}'].macs for i in range(1, 9)]
    assert [100 * each / sum(macs) for each in macs] == pytest.approx(SHARES[name], abs=1)
    assert costs.total.macs / 1e9 == pytest.approx(GMACS[name], rel=1e-12)
    assert costs.total.parameters == sum(p.numel() for p in model.parameters())
    assert not costs.unknown
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
