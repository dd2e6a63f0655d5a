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


@pytest.mark.parametrize(
    'options',
    [
        dict(kernel_size=3, padding=1),
        dict(kernel_size=3, padding=1, bias=False),
        dict(kernel_size=3, padding=1, stride=(1, 2, 2)),
        dict(kernel_size=(3, 1, 5), padding=(1, 0, 2)),
        dict(kernel_size=(1, 3, 3)),
        dict(kernel_size=2),
        dict(kernel_size=3, padding=(2, 0, 1)),
    ],
)
def test_frames_convolved_in_two_dimensions_give_the_convolution(options):
    torch.manual_seed(0)
    conv, x = Conv3d(4, 6, **options).double(), torch.randn(2, 4, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    found, expected = conv._convolve_frames(x), conv(x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), (x, *conv.parameters()))
    torch.testing.assert_close(torch.autograd.grad((found * weight).sum(), (x, *conv.parameters())), wanted)


@pytest.mark.parametrize(
    'options',
    [dict(groups=2), dict(stride=2), dict(dilation=2), dict(padding='same'), dict(padding=1, padding_mode='circular')],
)
def test_other_convolutions_train_in_float32_and_give_what_autocast_would(options):
    conv, x = Conv3d(4, 6, 3, **options), torch.randn(1, 4, 6, 8, 8)
    out, _ = gradient(conv, x, autocast=True)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, conv(x).bfloat16())


def test_dense_convolutions_train_in_bfloat16():
    conv, x = Conv3d(4, 6, 3, padding=1), torch.randn(1, 4, 3, 8, 8)
    out, _ = gradient(conv, x, autocast=True)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), conv(x), atol=0.02, rtol=0.02)
