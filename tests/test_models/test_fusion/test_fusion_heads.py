"""Fusion heads: each against its formula, and as the identity where it begins as one."""

import pytest
import torch
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.layers.selective_scan import selective_scan
from vrtspike.ops import use_backends
from vrtspike.registry import FUSION_HEADS
from vrtspike.testing.part_checks import fill_zeros
from vrtspike.testing.sweep import BINS, tiny_restorer

AS_STRONG_AS_TRAINED = ('ConcatFusion', 'TemporalCrossAttention')
IDENTITIES = sorted(set(FUSION_HEADS.names()) - set(AS_STRONG_AS_TRAINED))
PARAMETERS_AT_96_CHANNELS = {
    'ConcatFusion': 101_568,
    'GatedFusion': 110_880,
    'GatedTemporalCrossAttention': 75_168,
    'ChannelCrossAttention': 74_980,
    'WindowCrossAttention': 83_076,
    'DeformableFusion': 370_284,
    'SelectiveScanFusion': 40_816,
}


def make(name, channels=8, **arguments):
    torch.manual_seed(0)
    return fill_zeros(FUSION_HEADS.build(dict(type=name, channels=channels, **arguments))).double()


def maps(frames=3, size=(4, 6), channels=8):
    return torch.randn(2, 1, channels, frames, *size, dtype=torch.float64)


def at_pixel(x, row, column):
    """(1, C, T, H, W) -> (T, C) of one pixel."""
    return x[0, :, :, row, column].T


@pytest.mark.parametrize(('name', 'parameters'), PARAMETERS_AT_96_CHANNELS.items())
def test_parameters_at_the_baseline_width(name, parameters):
    head = FUSION_HEADS.build(dict(type=name, channels=96))
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


@pytest.mark.parametrize('name', IDENTITIES)
def test_begins_as_the_identity(name):
    head = FUSION_HEADS.build(dict(type=name, channels=8))
    rgb, spike = torch.randn(2, 1, 8, 3, 7, 5)
    assert torch.equal(head(rgb, spike), rgb)


@pytest.mark.parametrize('name', IDENTITIES)
def test_a_pretrained_network_is_unchanged_when_the_head_is_added(name):
    pretrained = tiny_restorer(fusion=name).eval()
    torch.nn.init.normal_(pretrained.backbone.conv_last.weight, std=0.1)
    clip, spikes = torch.rand(1, 2, 3, 16, 16), torch.rand(1, 2, BINS, 8, 8)
    with torch.no_grad():
        alone, fused = pretrained.backbone(clip), pretrained(clip, spikes)
    assert (alone - clip).abs().max() > 1e-3
    torch.testing.assert_close(fused, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize('name', AS_STRONG_AS_TRAINED)
def test_the_others_begin_at_full_strength(name):
    head = FUSION_HEADS.build(dict(type=name, channels=8))
    rgb, spike = torch.randn(2, 1, 8, 3, 7, 5)
    assert (head(rgb, spike) - rgb).abs().max() > 0.1


def test_concatenation_at_a_map_of_one_pixel():
    head, (rgb, spike) = make('ConcatFusion'), maps(size=(1, 1))
    first, _, last = head.mix
    hidden = F.gelu(
        F.linear(torch.cat((at_pixel(rgb, 0, 0), at_pixel(spike, 0, 0)), 1), first.weight.flatten(1), first.bias)
    )
    expected = at_pixel(rgb, 0, 0) + F.linear(hidden, last.weight[:, :, 0, 1, 1], last.bias)
    torch.testing.assert_close(at_pixel(head(rgb, spike), 0, 0), expected)


@pytest.mark.parametrize(('bias', 'weight'), [(100.0, 1.0), (-100.0, 0.0)])
def test_the_gate_decides_whether_spikes_are_used(bias, weight):
    head, (rgb, spike) = make('GatedFusion'), maps()
    head.gate[0].bias.data.fill_(bias)
    head.out.bias.data.zero_()
    torch.testing.assert_close(head(rgb, spike), rgb + weight * head.out(head.value(spike)))


def test_open_gates_make_gated_cross_attention_the_baseline():
    gated, plain = make('GatedTemporalCrossAttention', heads=2), make('TemporalCrossAttention', heads=2)
    missing = plain.load_state_dict(gated.state_dict(), strict=False)
    assert set(missing.unexpected_keys) == {'attention_gate', 'mlp_gate'}
    for gate in (gated.attention_gate, gated.mlp_gate):
        gate.data.fill_(100.0)
    rgb, spike = maps()
    torch.testing.assert_close(gated(rgb, spike), plain(rgb, spike))


def test_channel_attention_is_softmax_of_cosines_between_channels():
    head, (rgb, spike) = make('ChannelCrossAttention', heads=2), maps()
    query, (key, value) = head.query(rgb), head.key_value(spike).chunk(2, dim=1)
    found = head.attend(query, key, value)
    for frame in range(3):
        for channels in (slice(0, 4), slice(4, 8)):
            q, k, v = (x[0, channels, frame].flatten(1) for x in (query, key, value))
            cosines = F.cosine_similarity(q[:, None], k[None], dim=-1)
            expected = (head.temperature[channels.start // 4] * cosines).softmax(-1) @ v
            torch.testing.assert_close(found[0, channels, frame].flatten(1), expected)


def test_window_attention_sees_its_window_and_no_further():
    head = make('WindowCrossAttention', heads=2, window_size=(3, 2, 2))
    rgb, spike = maps()
    changed = spike.clone()
    changed[0, :, 0, 0, 0] += torch.randn(8)
    difference = (head(rgb, changed) - head(rgb, spike)).abs().amax((0, 1))
    assert (difference[:, :2, :2] > 1e-9).all()
    difference[:, :2, :2] = 0
    assert difference.max() < 1e-12


def test_window_attention_equals_its_definition_in_one_window():
    head, (rgb, spike) = make('WindowCrossAttention', heads=1, window_size=(3, 4, 6)), maps()
    attention = head.attention
    attention.bias_table.data.zero_()
    query, context = (norm(x)[0].flatten(1).T for norm, x in ((head.rgb_norm, rgb), (head.spike_norm, spike)))
    key, value = attention.key_value(context).chunk(2, dim=-1)
    scores = attention.query(query) @ key.T / 8**0.5
    expected = attention.out(scores.softmax(-1) @ value).T.view(8, 3, 4, 6)
    torch.testing.assert_close(head._attend(rgb, spike)[0], expected)


def test_windows_larger_than_the_map_shrink():
    head = make('WindowCrossAttention', heads=2, window_size=(5, 8, 8))
    assert head(*maps(frames=2, size=(3, 5))).shape == (1, 8, 2, 3, 5)


def test_untrained_offsets_make_deformable_fusion_a_convolution():
    head = FUSION_HEADS.build(dict(type='DeformableFusion', channels=8)).double()
    rgb, spike = maps()
    expected = F.conv3d(spike, head.weight[:, :, None] / 2, head.bias, padding=(0, 1, 1))
    with use_backends(deform_conv2d='reference'):
        torch.testing.assert_close(head.aligned(rgb, spike), expected)


def test_deformable_fusion_follows_its_offsets():
    head = FUSION_HEADS.build(dict(type='DeformableFusion', channels=8, deformable_groups=1)).double()
    head.weight.data.zero_()
    head.weight.data[range(8), range(8), 1, 1] = 2  # the mask begins at one half
    head.where.bias.data[0:18:2] = 1  # every tap reads one row below
    rgb, spike = maps()
    with use_backends(deform_conv2d='reference'):
        torch.testing.assert_close(head.aligned(rgb, spike)[..., :-1, :], spike[..., 1:, :])


def test_selective_scan_fusion_writes_spikes_and_reads_rgb():
    head, (rgb, spike) = make('SelectiveScanFusion', states=2), maps()
    query, context = head.rgb_norm(at_pixel(rgb, 1, 2)), head.spike_norm(at_pixel(spike, 1, 2))
    x, step, into = head.scan.from_context(context).split((8, 8, 2), dim=-1)
    gate, out_of = head.scan.from_query(query).split((8, 2), dim=-1)
    x, step = F.silu(x)[None], F.softplus(step)[None]
    after, before = -head.scan.log_decay.exp()
    forwards = selective_scan(x, step, after, into[None], out_of[None])
    flipped = (each.flip(1) for each in (into[None], out_of[None]))
    backwards = selective_scan(x.flip(1), step.flip(1), before, *flipped).flip(1)
    read = (forwards + backwards + head.scan.skip * x)[0] * F.silu(gate)
    torch.testing.assert_close(at_pixel(head(rgb, spike), 1, 2), at_pixel(rgb, 1, 2) + head.scan.out(read))


@pytest.mark.parametrize('name', ['TemporalCrossAttention', 'GatedTemporalCrossAttention', 'SelectiveScanFusion'])
def test_heads_along_time_keep_pixels_apart(name):
    head, (rgb, spike) = make(name), maps()
    changed = spike.clone()
    changed[..., 1, 2] += torch.randn(8, 3)
    difference = (head(rgb, changed) - head(rgb, spike)).abs().amax((0, 1, 2))
    assert difference[1, 2] > 1e-9
    difference[1, 2] = 0
    assert difference.max() < 1e-12


@pytest.mark.parametrize('name', FUSION_HEADS.names())
def test_maps_of_different_shapes_are_refused(name):
    with pytest.raises(ConfigError, match=rf'{name}\(channels=8\) was given rgb \(1, 8, 3, 4, 4\), spike \('):
        FUSION_HEADS.build(dict(type=name, channels=8))(torch.zeros(1, 8, 3, 4, 4), torch.zeros(1, 8, 3, 2, 2))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(type='ConcatFusion', channels=0), 'ConcatFusion: channels=0'),
        (dict(type='GatedFusion', channels=-1), 'GatedFusion: channels=-1'),
        (dict(type='ChannelCrossAttention', channels=8, heads=3), 'heads=3 does not divide channels=8'),
        (dict(type='ChannelCrossAttention', channels=8, mlp_ratio=0), 'mlp_ratio=0'),
        (dict(type='WindowCrossAttention', channels=8, heads=3), 'heads=3 does not divide channels=8'),
        (dict(type='WindowCrossAttention', channels=8, window_size=(8, 8)), r'window_size=\[8, 8\]; expected three'),
        (dict(type='WindowCrossAttention', channels=8, window_size=(5, 0, 8)), 'h=0'),
        (dict(type='WindowCrossAttention', channels=8, chunks='atuo'), "chunks='atuo'; did you mean 'auto'"),
        (dict(type='DeformableFusion', channels=8, deformable_groups=3), 'deformable_groups=3 does not divide'),
        (dict(type='SelectiveScanFusion', channels=8, states=0), 'states=0'),
        (dict(type='SelectiveScanFusion', channels=8, chunk_size=0), 'chunk_size=0'),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FUSION_HEADS.build(arguments)
