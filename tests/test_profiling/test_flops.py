import threading
from functools import cache

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vrtspike.benchmarking.restorer_costs import count_restorer
from vrtspike.models import VRT, SpikeRestorer
from vrtspike.models.layers.blocks import AttentionGroup
from vrtspike.ops import OPERATORS, use_backends
from vrtspike.profiling import part, stage
from vrtspike.profiling.flops import MAC_RULES, CannotCount, count_costs, count_with_values

TINY = dict(
    upscale=1,
    window_size=(2, 4, 4),
    depths=[2] * 7 + [1, 1],
    indep_reconsts=[8],
    embed_dims=[8] * 7 + [12] * 2,
    num_heads=[2] * 9,
    deformable_groups=2,
    pa_frames=2,
)


class Hand(nn.Module):
    """Small enough to count by hand."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.linear = nn.Linear(8, 4)
        self.idle = nn.Linear(2, 2)

    def forward(self, x):
        with stage('conv') as s:
            x = s.leave(self.conv(s.enter(x)))
        with stage('rest'), part('linear'):
            return self.linear(x.permute(0, 2, 3, 1))


def test_a_network_counted_by_hand():
    costs = count_costs(Hand(), torch.empty(2, 3, 10, 12))
    pixels = 2 * 10 * 12
    assert costs.stages['conv'].macs == pixels * 8 * 3 * 9
    assert costs.stages['rest'].macs == pixels * 8 * 4
    assert costs.parts == {'rest/linear': costs.stages['rest']}
    assert (costs.stages['conv'].activations, costs.stages['rest'].activations) == (pixels * 8, pixels * 4)
    assert costs.stages['conv'].bytes == 4 * (pixels * 3 + 8 * 3 * 9 + pixels * 8)
    assert [cost.parameters for cost in costs.stages.values()] == [8 * 3 * 9, 8 * 4 + 4, 2 * 2 + 2]  # idle: other's
    assert costs.total.parameters == sum(p.numel() for p in Hand().parameters())
    assert not costs.unknown


def attend(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def attend_plainly(q, k, v):
    return (q @ k.transpose(-2, -1)).softmax(-1) @ v


class Attend(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, q, k, v):
        return self.function(q, k, v)


@pytest.mark.parametrize('function', [attend, attend_plainly])
def test_fused_and_plain_attention_count_alike(function):
    q, k, v = torch.empty(3, 2, 5, 8), torch.empty(3, 2, 7, 8), torch.empty(3, 2, 7, 8)
    assert count_costs(Attend(function), q, k, v).total.macs == 3 * 2 * 5 * 7 * (8 + 8)


@pytest.mark.parametrize('name', sorted(rule for rule in MAC_RULES if 'scaled_dot_product' in rule))
def test_every_fused_attention_operator_has_a_rule(name):
    assert hasattr(torch.ops.aten, name.removeprefix('aten::'))


@cache
def expected_costs():
    """The costs of a clip, by the operators chosen by default."""
    return count_restorer(restorer(), (2, 16, 16))


def restorer(**changes):
    encoder = dict(type='SpikeEncoder3D', bins=4, channels=8)
    head = dict(type='TemporalCrossAttention', heads=2)
    tsa = dict(type='TemporalSelfAttention', heads=2)
    return SpikeRestorer(dict(TINY, type='VRT', **changes), spike_encoder=encoder, tsa=tsa, fusion=head)


SERVES_META = [b.name for b in OPERATORS['window_attention'].backends if not b.refusal(torch.empty(1, device='meta'))]


@pytest.mark.parametrize('window_attention', SERVES_META)
def test_the_count_does_not_depend_on_the_backend(window_attention):
    with use_backends(window_attention=window_attention):
        assert count_restorer(restorer(), (2, 16, 16)).stages == expected_costs().stages


def test_counting_leaves_operators_and_network_alone():
    model = restorer().train()
    before = {name: operator.backends for name, operator in OPERATORS.items()}
    count_restorer(model, (2, 16, 16))
    assert {name: operator.backends for name, operator in OPERATORS.items()} == before
    assert model.training
    assert {p.device.type for p in model.parameters()} == {'cpu'}


def test_agreement_with_torchs_counter():
    model = VRT(**TINY).eval()
    clip = torch.empty(1, 2, 3, 32, 32)
    backends = use_backends(window_attention='reference', deform_conv2d='grid_sample')
    with backends, torch.no_grad(), FlopCounterMode(display=False) as torchs:
        model(clip)
    macs = count_costs(model, clip).total.macs
    # torch's counts no interpolation: SpyNet's, the warps' and the deformable convolutions' samples of four neighbours.
    assert 0 < macs - torchs.get_total_flops() / 2 < 0.05 * macs


def test_agreement_with_fvcores_own_analysis():
    block = dict(channels=8, heads=2, window=(2, 4, 4), depth=2, drop_paths=[0, 0])
    network = nn.Sequential(AttentionGroup(mutual=True, **block), AttentionGroup(mutual=False, **block))
    features = torch.rand(1, 4, 6, 8, 8)  # padded to whole windows
    with use_backends(window_attention='reference'):
        theirs = FlopCountAnalysis(network, features).tracer_warnings('none').unsupported_ops_warnings(False)
        by_operator = dict(theirs.by_operator())
        del by_operator['layer_norm']  # five operations a value, which are no multiply-accumulates
        assert count_costs(network, features).total.macs == sum(by_operator.values())


def closed_form_stage(channels, mutual, rest, window, size, groups):
    """Return the MACs of one of the stages 1-7 by formula, for whole windows and C = ``channels``."""
    t, h, w = size
    pixels, c = t * h * w, channels
    pairs = window[1] * window[2]
    attention = pixels * (3 * c * c + c * c) + pixels * window[0] * pairs * 2 * c
    mutual_attention = pixels * (2 * 3 * c * c + 2 * c * c) + pixels * (2 * pairs + pairs) * 2 * c
    mlp = pixels * 3 * 2 * c * c
    blocks = mutual * (mutual_attention + mlp) + rest * (attention + mlp)
    after_groups = 2 * pixels * c * c
    aligned = 2 * (t - 1) * h * w
    offset_head = aligned * 9 * ((2 * c + 2) * c + 2 * c * c + c * 27 * groups)
    deformable = aligned * 9 * c * c + 4 * aligned * 9 * c
    warps = 4 * aligned * c
    fusion = pixels * (2 * 3 * c * 3 * c + 3 * c * c)
    return blocks + after_groups + offset_head + deformable + warps + fusion


@pytest.mark.parametrize(('heads', 'channels', 'groups'), [(2, 8, 2), (2, 16, 4)])
def test_a_stage_matches_the_closed_form(heads, channels, groups):
    changes = dict(depths=[4] * 7 + [1], indep_reconsts=[], embed_dims=[channels] * 8, num_heads=[heads] * 8)
    model = VRT(**TINY | changes | dict(deformable_groups=groups))
    costs = count_costs(model, torch.empty(1, 4, 3, 32, 64))
    expected = closed_form_stage(channels, 3, 1, (2, 4, 4), (4, 32, 64), groups)
    assert costs.stages['stage1'].macs == expected


def test_every_marked_stage_is_counted_in_order():
    assert (*expected_costs().stages, 'loss') == (*restorer().cost_stages()[:-1], 'other', 'loss')


def test_an_operator_without_a_rule_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).real

    assert count_costs(Odd(), torch.empty(4, 8)).unknown == {'aten::_fft_r2c': 1}


def test_an_operator_that_its_rule_cannot_count_is_unknown(monkeypatch):
    def refuse(inputs, outputs):
        assert inputs is None

    monkeypatch.setitem(MAC_RULES, 'aten::mm', refuse)
    costs = count_costs(nn.Linear(2, 2, bias=False), torch.empty(3, 2))
    assert (costs.unknown, costs.total.macs) == ({'aten::mm': 1}, 0)


class Adds(nn.Module):
    """Adds what ``make`` returns for its input."""

    def __init__(self, make):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.make = make

    def forward(self, x):
        return self.conv(x) + self.make(x)


CONSTANT = torch.ones(10, 12)


@pytest.mark.parametrize(
    'make',
    [
        lambda x: torch.arange(x.shape[-1]),
        lambda x: CONSTANT,
        lambda x: torch.zeros_like(x, device='cpu'),
        lambda x: x.mean().to('cpu'),
        lambda x: torch.tensor(2.0),
        lambda x: int(torch.linspace(0, 5, 3)[1]),
    ],
    ids=['arange', 'plain attribute', 'zeros_like', 'to', 'scalar', 'item of a constant'],
)
def test_constants_that_a_network_makes_on_a_device_do_not_matter(make):
    assert count_costs(Adds(make), torch.empty(1, 3, 10, 12)).total.macs == 3 * 3 * 10 * 12


def test_a_network_that_reads_values_is_counted_with_values_only():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = Adds(lambda x: x * x.mean().item())

        def forward(self, x):
            return self.branch(x)

    network = Reads()
    with pytest.raises(CannotCount, match=r'^Adds \(branch\): .*item'):
        count_costs(network, torch.empty(1, 3, 10, 12))
    state = torch.get_rng_state()
    costs = count_with_values(network, torch.empty(1, 3, 10, 12, device='meta'))
    assert costs.total.macs == 3 * 3 * 10 * 12
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_cannot_be_copied_is_named():
    class Locked(nn.Module):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(CannotCount, match=r"Locked: TypeError: cannot pickle '_thread\.lock' object"):
        count_costs(Locked(), torch.empty(1))


def test_equal_calls_are_counted_alike():
    """The second of two equal calls is not run again; in-place operators, tuples and lists among them."""

    class Twice(nn.Module):
        def forward(self, x):
            for _ in range(2):
                x = x.add_(1).sort(dim=0).values.clone()
                x = torch.cat([each.softmax(-1) for each in x.chunk(2)])
                x = x.new_ones(x.shape) @ F.layer_norm(x, x.shape[-1:])
            return x

    costs = count_costs(Twice(), torch.empty(4, 4))
    assert costs.total.macs == 2 * 4**3
    assert set(costs.elementwise.values()) == {2, 4}
    assert not costs.unknown
