"""Convolution over three dimensions under autocast, on processors with AMX too."""

import pytest
import torch

from vrtspike.models.layers import conv3d
from vrtspike.models.layers.conv3d import Conv3d


def gradient(conv, x, autocast):
    conv.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        out = conv(x)
    out.float().square().mean().backward()
    return out, conv.weight.grad


@pytest.mark.parametrize(('channels', 'kernel', 'size'), [((48, 48), 3, 128), ((48, 16), 1, 128), ((32, 96), 3, 32)])
def test_the_gradient_under_bfloat16_is_that_of_float32(channels, kernel, size):
    torch.manual_seed(0)
    conv, x = Conv3d(*channels, kernel, padding=kernel // 2), torch.randn(1, channels[0], 4, size, size)
    found, expected = (gradient(conv, x, autocast)[1] for autocast in (True, False))
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_with_amx_training_computes_in_float32(monkeypatch):
    conv, x = Conv3d(4, 5, 3), torch.randn(1, 4, 3, 8, 8)
    plain = conv(x)
    for has_amx, equal in ((True, True), (False, False)):
        monkeypatch.setattr(conv3d, 'HAS_AMX', has_amx)
        out = gradient(conv, x, True)[0]
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, plain.bfloat16()) == equal
    monkeypatch.setattr(conv3d, 'HAS_AMX', True)
    assert torch.equal(conv(x), plain)
