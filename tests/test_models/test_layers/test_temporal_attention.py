"""Attention along time: the parts that self-attention and cross-attention share."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.models import fusion, tsa
from vrtspike.models.layers.maps import from_tokens, to_tokens
from vrtspike.models.layers.temporal_attention import (
    RelativeTemporalAttention,
    RotaryTemporalAttention,
    TemporalAttention,
)
from vrtspike.ops.window_attention import native

needs_compiler = pytest.mark.skipif(native.missing() is not None, reason=f'the kernel {native.missing()}')
BLOCKS = [tsa.TemporalSelfAttention, fusion.TemporalCrossAttention]
CHUNKS = st.fixed_dictionaries(
    {
        'adaptive_chunk': st.booleans(),
        'max_batch_tokens': st.integers(1, 100),
        'chunk_size': st.integers(1, 9),
        'chunk_shape': st.sampled_from(['square', 'wide', 'tall']),
    }
)
SHAPES = st.tuples(st.integers(1, 2), st.just(8), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))


def values_and_gradients(block, maps):
    """The output, the gradients of the maps and those of the parameters."""
    maps = [x.clone().requires_grad_() for x in maps]
    out = block(*maps)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [*maps, *block.parameters()])]


@pytest.mark.parametrize('block', BLOCKS)
@settings(deadline=None, max_examples=40)
@given(shape=SHAPES, chunks=CHUNKS)
def test_chunks_change_neither_values_nor_gradients(block, shape, chunks):
    torch.manual_seed(0)
    maps = torch.randn(block.inputs, *shape, dtype=torch.float64)
    whole, chunked = block(8, heads=2).double(), block(8, heads=2, **chunks).double()
    chunked.load_state_dict(whole.state_dict())
    torch.testing.assert_close(
        values_and_gradients(chunked, maps), values_and_gradients(whole, maps), rtol=1e-9, atol=1e-9
    )


def test_tokens_are_the_frames_of_a_pixel_and_turn_back():
    x = torch.randn(2, 3, 4, 5, 6)
    tokens = to_tokens(x)
    assert tokens.shape == (2 * 5 * 6, 4, 3)
    assert torch.equal(tokens[1 * 30 + 2 * 6 + 5], x[1, :, :, 2, 5].T)
    assert torch.equal(from_tokens(tokens, like=x), x)
    assert from_tokens(tokens, like=x).data_ptr() == tokens.data_ptr()


def test_equals_torchs_multi_head_attention():
    ours = TemporalAttention(8, heads=2).double()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.load_state_dict(
        {
            'in_proj_weight': torch.cat([ours.query.weight, ours.key_value.weight]),
            'in_proj_bias': torch.cat([ours.query.bias, ours.key_value.bias]),
            'out_proj.weight': ours.out.weight,
            'out_proj.bias': ours.out.bias,
        }
    )
    query, context = torch.randn(2, 7, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(query, context), theirs(query, context, context)[0])


@needs_compiler
@pytest.mark.parametrize('kind', [TemporalAttention, RelativeTemporalAttention, RotaryTemporalAttention])
@pytest.mark.parametrize('frames', [1, 5, 20])
def test_cpus_compute_the_same_as_gpus(kind, frames):
    torch.manual_seed(0)
    attention = kind(12, heads=2, time_slope=2.0)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    query, context = torch.randn(2, 7, frames, 12)
    found = attention(query, context)
    attention._attend_in_windows = partial(attention._attend, dropout=0.0)
    expected = attention(query, context)
    assert not torch.equal(found, expected) or frames == 1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(out.square().sum(), attention.parameters()) for out in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    x = torch.randn(6, 4, 8)
    attention = TemporalAttention(8, heads=2, dropout=0.5)
    assert not torch.equal(attention(x, x), attention(x, x))
    attention.eval()
    assert torch.equal(attention(x, x), attention(x, x))


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'heads': 3}, 'heads=3 does not divide channels=8'),
        ({'heads': 0}, 'heads=0'),
        ({'channels': -8}, 'channels=-8'),
        ({'mlp_ratio': 0.0}, r'mlp_ratio=0\.0'),
        ({'dropout': 1.0}, r'dropout=1\.0'),
        ({'dropout': -0.1}, r'dropout=-0\.1'),
        ({'chunk_size': 0}, 'chunk_size=0'),
        ({'max_batch_tokens': -1}, 'max_batch_tokens=-1'),
        ({'chunk_shape': 'round'}, "chunk_shape='round'; known: square, tall, wide"),
    ],
)
def test_arguments_that_cannot_work_are_refused(block, arguments, message):
    with pytest.raises(ConfigError, match=message):
        block(**{'channels': 8, **arguments})


@pytest.mark.parametrize('block', BLOCKS)
def test_the_first_norm_is_applied_to_the_query_and_the_last_to_the_context(block):
    block = block(8).double()
    for norm in block.input_norms:
        nn.init.normal_(norm.weight)
    tokens = [torch.randn(6, 4, 8, dtype=torch.float64) for _ in block.input_norms]
    expected = block.attention(block.input_norms[0](tokens[0]), block.input_norms[-1](tokens[-1]))
    torch.testing.assert_close(block.attend(*tokens), expected)


@pytest.mark.parametrize('time_slope', [0.0, 2.0])
def test_time_slope_is_a_linear_bias_on_the_scores(time_slope):
    """Checked against the attention written out, head by head."""
    torch.manual_seed(0)
    attention = TemporalAttention(8, heads=2, time_slope=time_slope).double()
    tokens = torch.randn(3, 5, 8, dtype=torch.float64)
    key, value = attention.key_value(tokens).chunk(2, dim=-1)
    distance = (torch.arange(5)[:, None] - torch.arange(5)).abs()
    per_head = [x.split(4, dim=-1) for x in (attention.query(tokens), key, value)]
    heads = []
    for i, (q, k, v) in enumerate(zip(*per_head, strict=True)):
        scores = q @ k.transpose(1, 2) / 2 - time_slope / 2**i * distance
        heads.append(scores.softmax(-1) @ v)
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(tokens, tokens), expected)


def test_a_steep_time_slope_reads_only_the_own_frame():
    attention = TemporalAttention(8, heads=1, time_slope=1e4).double()
    tokens = torch.randn(2, 4, 8, dtype=torch.float64)
    value = attention.key_value(tokens).chunk(2, dim=-1)[1]
    torch.testing.assert_close(attention(tokens, tokens), attention.out(value))
