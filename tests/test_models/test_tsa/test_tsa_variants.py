"""TSA variants: each against its formula or the baseline."""

import pytest
import torch
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.registry import TSA


def make(name, channels=8, **arguments):
    torch.manual_seed(0)
    return TSA.build(dict(type=name, channels=channels, **arguments)).double()


def clip(frames=4, size=(3, 5), channels=8):
    return torch.randn(1, channels, frames, *size, dtype=torch.float64)


def shuffled(block, x, order):
    """Return what the block makes of shuffled frames, shuffled back."""
    return block(x[:, :, order])[:, :, torch.tensor(order).argsort()]


ORDER = [2, 0, 3, 1]


def test_the_baseline_does_not_know_time_and_the_others_do():
    x = clip()
    torch.testing.assert_close(shuffled(make('TemporalSelfAttention'), x, ORDER), make('TemporalSelfAttention')(x))
    relative = make('RelativeTemporalSelfAttention')
    torch.nn.init.normal_(relative.attention.bias)
    names = ('RotaryTemporalSelfAttention', 'TemporalConvolution', 'TemporalSelectiveScan', 'WindowSelfAttention')
    for block in (relative, *map(make, names)):
        assert (shuffled(block, x, ORDER) - block(x)).abs().max() > 1e-4, block


def test_untrained_relative_attention_is_the_baseline():
    relative, baseline = make('RelativeTemporalSelfAttention'), make('TemporalSelfAttention')
    assert baseline.load_state_dict(relative.state_dict(), strict=False).unexpected_keys == ['attention.bias']
    x = clip()
    torch.testing.assert_close(relative(x), baseline(x))


def test_relative_attention_is_of_the_distance():
    """A bias that forbids all but the frame before makes each frame read that one alone."""
    block = make('RelativeTemporalSelfAttention', heads=1)
    block.attention.bias.data.fill_(-1e4)
    block.attention.bias.data[:, 15] = 0
    tokens = torch.randn(2, 4, 8, dtype=torch.float64)
    value = block.attention.key_value(tokens).chunk(2, dim=-1)[1]
    found = block.attention(tokens, tokens)
    torch.testing.assert_close(found[:, 1:], block.attention.out(value)[:, :-1])


def test_relative_attention_takes_clips_of_any_length():
    assert make('RelativeTemporalSelfAttention')(clip(frames=40, size=(1, 1))).shape == (1, 8, 40, 1, 1)


def test_rotary_scores_depend_on_the_distance_alone():
    attention = make('RotaryTemporalSelfAttention', heads=2).attention
    query, key = torch.randn(2, 1, 2, 1, 4, dtype=torch.float64).expand(2, 1, 2, 6, 4)
    scores = (attention.encode_time(query) @ attention.encode_time(key).transpose(-1, -2))[0]
    for distance in range(-5, 6):
        diagonal = scores.diagonal(distance, dim1=1, dim2=2)
        torch.testing.assert_close(diagonal, diagonal[:, :1].expand_as(diagonal))
    assert (scores[:, 0, 0] - scores[:, 0, 1]).abs().min() > 1e-6
    assert (scores[:, 1, 0] - scores[:, 0, 1]).abs().min() > 1e-6


def test_rotary_attention_keeps_lengths():
    attention = make('RotaryTemporalSelfAttention', heads=2).attention
    tokens = torch.randn(3, 2, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(attention.encode_time(tokens).norm(dim=-1), tokens.norm(dim=-1))
    torch.testing.assert_close(attention.encode_time(tokens)[..., 0, :], tokens[..., 0, :])


def test_window_attention_mixes_pixels_of_a_window_only():
    block, x = make('WindowSelfAttention', heads=2, window_size=(4, 2, 2)), clip(size=(4, 4))
    changed = x.clone()
    changed[0, :, 0, 1, 1] += torch.randn(8)
    difference = (block(changed) - block(x)).abs().amax((0, 1))
    assert (difference[:, :2, :2] > 1e-9).all()
    difference[:, :2, :2] = 0
    assert difference.max() < 1e-12


def test_convolution_equals_its_formula():
    block, x = make('TemporalConvolution'), clip()
    conv = block.block.depthwise
    mixed = F.conv3d(x, conv.weight, conv.bias, padding=(1, 0, 0), groups=8)
    norm, first, _, last = block.block.mlp
    normed = F.layer_norm(mixed.movedim(1, -1), (8,), norm.weight, norm.bias)
    hidden = F.gelu(F.linear(normed, first.weight.flatten(1), first.bias))
    expected = x + F.linear(hidden, last.weight.flatten(1), last.bias).movedim(-1, 1)
    torch.testing.assert_close(block(x), expected)


def test_identity_returns_its_input_and_has_no_parameters():
    block, x = make('IdentityTSA'), clip()
    assert block(x) is x
    assert not list(block.parameters())


@pytest.mark.parametrize('name', TSA.names())
def test_a_map_of_other_channels_is_refused(name):
    with pytest.raises(ConfigError, match=rf'{name}\(channels=8\) was given x \(1, 6, 3, 4, 4\)'):
        TSA.build(dict(type=name, channels=8))(torch.zeros(1, 6, 3, 4, 4))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(type='RotaryTemporalSelfAttention', channels=6, heads=2), 'make 3 channels per head'),
        (dict(type='WindowSelfAttention', channels=8, heads=3), 'heads=3 does not divide channels=8'),
        (dict(type='TemporalConvolution', channels=8, kernel_size=(2, 1, 1)), 'expected three odd lengths'),
        (dict(type='TemporalConvolution', channels=8, mlp_ratio=0), 'mlp_ratio=0'),
        (dict(type='TemporalSelectiveScan', channels=8, states=0), 'states=0'),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TSA.build(arguments)
