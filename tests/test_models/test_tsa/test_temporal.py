"""Temporal self-attention over spike features."""

import inspect
from functools import partial

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.models.tsa import TemporalSelfAttention
from vrtspike.registry import TSA


def test_parameters_at_the_baseline_width():
    block = TSA.build({'type': 'TemporalSelfAttention', 'channels': 96})
    assert sum(parameter.numel() for parameter in block.parameters()) == 74_784


def test_every_option_is_in_the_signature():
    assert list(inspect.signature(TemporalSelfAttention).parameters) == [
        *('channels', 'heads', 'mlp_ratio', 'dropout'),
        *('adaptive_chunk', 'max_batch_tokens', 'chunk_size', 'chunk_shape', 'time_slope', 'chunks'),
    ]


def test_equals_the_definition_at_a_pixel():
    block = TemporalSelfAttention(8, heads=2, chunk_size=2).double()
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    tokens = x[1, :, :, 2, 3].T[None]
    normed = block.input_norms[0](tokens)
    tokens = tokens + block.attention(normed, normed)
    tokens = tokens + block.mlp(block.mlp_norm(tokens))
    torch.testing.assert_close(block(x)[1, :, :, 2, 3], tokens[0].T)


def test_pixels_do_not_see_each_other_and_frames_do():
    block = TemporalSelfAttention(8).double()
    x = torch.randn(1, 8, 3, 4, 4, dtype=torch.float64)
    changed = x.clone()
    changed[0, :, 0, 1, 2] += torch.randn(8, dtype=torch.float64)
    difference = (block(changed) - block(x)).abs().amax(dim=1)[0]
    assert (difference[:, 1, 2] > 1e-6).all()
    difference[:, 1, 2] = 0
    assert difference.max() < 1e-12


def test_attention_and_mlp_run_chunk_by_chunk():
    block = TemporalSelfAttention(8, chunk_size=4)
    sequences = {'attention': [], 'mlp': []}
    for name, seen in sequences.items():
        block.get_submodule(name).register_forward_hook(lambda _, args, __, seen=seen: seen.append(len(args[0])))
    block(torch.randn(2, 8, 3, 8, 8))
    assert sequences == {'attention': [32] * 4, 'mlp': [32] * 4}


def test_no_attention_call_exceeds_the_kernels_ceiling(monkeypatch):
    """The ceiling is that of PyTorch's kernels on GPUs."""
    calls = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def counted(query, *args, **kwargs):
        calls.append(query.shape)
        return attend(query, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', counted)
    block = TemporalSelfAttention(2, heads=1, adaptive_chunk=False, chunk_size=256)
    block.attention._attend_in_windows = partial(block.attention._attend, dropout=0.0)
    with torch.no_grad(), pytest.warns(UserWarning, match='65535'):
        block(torch.randn(1, 2, 1, 256, 256))
    assert [tuple(shape) for shape in calls] == [(255 * 256, 1, 1, 2), (256, 1, 1, 2)]


def test_runs_under_bf16_autocast():
    block = TemporalSelfAttention(8, chunk_size=3)
    x = torch.randn(1, 8, 3, 5, 5)
    expected = block(x)
    with torch.autocast('cpu', torch.bfloat16):
        from_float, from_half = block(x), block(x.bfloat16())
    from_half.float().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())
    torch.testing.assert_close(from_float.float(), expected, rtol=0.05, atol=0.05)
    torch.testing.assert_close(from_half.float(), expected, rtol=0.05, atol=0.05)


def test_memory_layout_of_the_input_does_not_matter():
    block = TemporalSelfAttention(8).double()
    x = torch.randn(1, 8, 3, 4, 5, dtype=torch.float64)
    permuted = x.permute(0, 3, 4, 2, 1).contiguous().permute(0, 4, 3, 1, 2)
    torch.testing.assert_close(block(permuted), block(x))


@pytest.mark.parametrize('shape', [(1, 6, 3, 4, 4), (8, 3, 4, 4)])
def test_a_map_of_other_channels_or_dimensions_is_refused(shape):
    with pytest.raises(ConfigError, match=r'TemporalSelfAttention\(channels=8\) was given x \('):
        TemporalSelfAttention(8)(torch.zeros(shape))
