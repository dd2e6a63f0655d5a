"""Convolution over three dimensions under autocast."""

import pytest
import torch

from vrtspike.models.layers.conv import Conv3d


def gradient(conv, x, autocast):
    conv.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        out = conv(x)
    out.float().square().mean().backward()
    return out, conv.weight.grad


@pytest.mark.parametrize(
    ('channels', 'kernel', 'frames', 'size'),
    [((48, 48), 3, 4, 128), ((48, 16), 1, 4, 128), ((32, 96), 3, 2, 32), ((32, 96), 3, 5, 32)],
)
def test_the_gradient_under_bfloat16_is_that_of_float32(channels, kernel, frames, size):
    torch.manual_seed(0)
    conv, x = Conv3d(*channels, kernel, padding=kernel // 2), torch.randn(1, channels[0], frames, size, size)
    found, expected = (gradient(conv, x, autocast)[1] for autocast in (True, False))
    assert (found - expected).norm() < 0.02 * expected.norm()


def test_training_computes_in_float32_and_gives_what_autocast_would():
    conv, x = Conv3d(4, 5, 3), torch.randn(1, 4, 3, 8, 8)
    out, _ = gradient(conv, x, autocast=True)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, conv(x).bfloat16())
