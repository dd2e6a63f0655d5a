"""Sizes in whole windows, and the zeros that fill them."""

import pytest
import torch
from gpu_paths import take_gpu_paths
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.ops.padding import next_multiple, pad_to_windows, without_padding


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_the_next_multiple_is_the_smallest(length, divisor):
    found = next_multiple(length, divisor)
    assert found % divisor == 0
    assert length <= found < length + divisor


def test_windows_are_filled_with_zeros():
    x = torch.ones(1, 3, 4, 5, 2)
    padded = pad_to_windows(x, (2, 4, 4))
    assert padded.shape == (1, 4, 4, 8, 2)
    assert torch.equal(padded[:, :3, :, :5], x)
    assert padded.sum() == x.sum()


def test_windows_may_begin_at_another_axis():
    assert pad_to_windows(torch.ones(1, 2, 3, 5, 5), (2, 4, 4), first_axis=2).shape == (1, 2, 4, 8, 8)


def test_a_map_in_whole_windows_is_returned_as_it_is():
    x = torch.rand(1, 2, 4, 4, 8)
    assert pad_to_windows(x, (2, 4, 4)) is x


@pytest.mark.parametrize('on_gpu', [False, True])
@pytest.mark.parametrize('size', [(2, 3, 5), (3, 4, 4), (3, 4, 8)])
def test_padding_goes_and_its_gradient_is_zero(monkeypatch, on_gpu, size):
    take_gpu_paths(monkeypatch, on_gpu)
    padded = torch.randn(2, 3, 4, 8, 2, requires_grad=True)
    t, h, w = size
    found = without_padding(padded, size)
    assert torch.equal(found, padded[:, :t, :h, :w])
    weights = torch.randn(found.shape)
    (found * weights).sum().backward()
    assert torch.equal(padded.grad, pad_to_windows(weights, (3, 4, 8)))
