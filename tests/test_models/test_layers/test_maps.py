"""Layouts of feature maps: which value goes where, and that each pair of functions undoes the other."""

import torch
from torch import nn

from vrtspike.models.layers.maps import (
    ChannelNorm,
    TokenNorm,
    channels_first,
    channels_last,
    from_frames,
    from_tokens,
    resize_maps,
    to_frames,
    to_tokens,
    zeroed,
)

X = torch.arange(2 * 3 * 4 * 5 * 6.0).view(2, 3, 4, 5, 6)


def test_channels_go_last_and_come_back():
    assert torch.equal(channels_last(X)[1, 2, 3, 4], X[1, :, 2, 3, 4])
    assert torch.equal(channels_first(channels_last(X)), X)


def test_frames_of_a_clip_stay_together():
    frames = to_frames(X)
    assert frames.shape == (8, 3, 5, 6)
    assert torch.equal(frames[4 + 2], X[1, :, 2])
    assert torch.equal(from_frames(frames, 2), X)


def test_tokens_are_the_frames_of_a_pixel():
    tokens = to_tokens(X)
    assert tokens.shape == (60, 4, 3)
    assert torch.equal(tokens[30 + 3 * 6 + 4], X[1, :, :, 3, 4].T)
    assert torch.equal(from_tokens(tokens, X), X)


def test_resizing_means_over_pixels_of_each_frame():
    small = resize_maps(torch.tensor([[1.0, 3.0], [5.0, 7.0]]).expand(1, 2, 3, 2, 2), (1, 1))
    assert torch.equal(small, torch.full((1, 2, 3, 1, 1), 4.0))
    assert resize_maps(X, (5, 6)) is X


def test_channels_are_normalised_at_every_pixel():
    normed = ChannelNorm(3)(X)
    torch.testing.assert_close(normed.mean(dim=1), torch.zeros(2, 4, 5, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(dim=1, unbiased=False), torch.ones(2, 4, 5, 6), atol=1e-3, rtol=0)


def test_a_zeroed_branch_returns_zeros():
    conv = nn.Conv2d(3, 2, 1)
    assert zeroed(conv) is conv
    assert not conv(torch.rand(1, 3, 4, 4)).any()


def test_a_norm_of_tokens_has_the_type_of_the_linear_layer_that_follows():
    x, norm = torch.randn(4, 6), TokenNorm(6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = norm(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, norm(x).bfloat16(), rtol=1e-2, atol=1e-2)
