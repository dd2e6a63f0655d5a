"""Fusion of RGB and spike features by temporal cross-attention."""

import inspect

import pytest
import torch

from vrtspike.errors import ConfigError
from vrtspike.models.fusion import TemporalCrossAttention
from vrtspike.models.tsa import TemporalSelfAttention
from vrtspike.registry import FUSION_HEADS


def test_parameters_at_the_baseline_width():
    head = FUSION_HEADS.build({'type': 'TemporalCrossAttention', 'channels': 96})
    assert sum(parameter.numel() for parameter in head.parameters()) == 74_976


def test_takes_the_options_of_self_attention():
    assert inspect.signature(TemporalCrossAttention) == inspect.signature(TemporalSelfAttention)


def test_equals_the_definition_at_a_pixel():
    head = TemporalCrossAttention(8, heads=2, chunk_size=2).double()
    rgb, spike = torch.randn(2, 2, 8, 3, 4, 5, dtype=torch.float64)
    query, context = (x[1, :, :, 2, 3].T[None] for x in (rgb, spike))
    tokens = query + head.attention(head.input_norms[0](query), head.input_norms[1](context))
    tokens = tokens + head.mlp(head.mlp_norm(tokens))
    torch.testing.assert_close(head(rgb, spike)[1, :, :, 2, 3], tokens[0].T)


def test_only_the_attention_runs_chunk_by_chunk():
    head = TemporalCrossAttention(8, chunk_size=4)
    sequences = {'attention': [], 'mlp': []}
    for name, seen in sequences.items():
        head.get_submodule(name).register_forward_hook(lambda _, args, __, seen=seen: seen.append(len(args[0])))
    head(torch.randn(2, 8, 3, 8, 8), torch.randn(2, 8, 3, 8, 8))
    assert sequences == {'attention': [32] * 4, 'mlp': [128]}


@pytest.mark.parametrize('chunk_size', [3, 64])
def test_the_result_has_the_memory_layout_of_the_rgb_map(chunk_size):
    rgb, spike = torch.randn(2, 2, 8, 3, 4, 5)
    head = TemporalCrossAttention(8, chunk_size=chunk_size)
    assert head(rgb, spike).is_contiguous()


def test_runs_under_bf16_autocast():
    head = TemporalCrossAttention(8, chunk_size=3)
    rgb, spike = torch.randn(2, 1, 8, 3, 5, 5)
    expected = head(rgb, spike)
    with torch.autocast('cpu', torch.bfloat16):
        fused = head(rgb, spike.bfloat16())
    fused.float().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    torch.testing.assert_close(fused.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('spike_shape', [(1, 8, 3, 2, 2), (1, 6, 3, 4, 4), (1, 8, 2, 4, 4)])
def test_maps_of_different_shapes_are_refused(spike_shape):
    with pytest.raises(ConfigError, match=r'given rgb \(1, 8, 3, 4, 4\), spike \('):
        TemporalCrossAttention(8)(torch.zeros(1, 8, 3, 4, 4), torch.zeros(spike_shape))
