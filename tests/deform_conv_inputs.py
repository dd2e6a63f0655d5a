"""Inputs of deformable convolutions, and their outputs and gradients, for the tests of its backends."""

import torch

from vrtspike.ops import deform_conv2d, use_backends


def make_inputs(groups=1, deformable_groups=2, size=(5, 6), k=3, padding=1, batch=2, spread=1.5, seed=0):
    """Return float64 x, offset, mask, weight and bias; 4 channels per group come in, 2 go out."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    out = [length + 2 * padding - k + 1 for length in size]
    taps = deformable_groups * k * k
    return (
        normal(batch, 4 * groups, *size),
        normal(batch, 2 * taps, *out) * spread,
        normal(batch, taps, *out).sigmoid(),
        normal(2 * groups, 4, k, k),
        normal(2 * groups),
    )


def run(backend, *inputs, padding=1, function=None):
    """Return the output and the gradients of all arguments, from a backend by name or from ``function``."""
    inputs = [None if tensor is None else tensor.detach().requires_grad_() for tensor in inputs]
    if function is not None:
        out = function(*inputs, padding=padding)
    else:
        with use_backends(deform_conv2d=backend):
            out = deform_conv2d(*inputs, padding=padding)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * weights).sum().backward()
    return [out.detach(), *(tensor.grad for tensor in inputs if tensor is not None)]


def assert_alike(found, expected, tolerance):
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left.double(), right.double(), rtol=tolerance, atol=tolerance)
