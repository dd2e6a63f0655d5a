"""Calls of deformable convolution on which its backends are compared."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vrtspike.ops.backends import Backend
from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.trials import Trial, values_and_gradients

SIDE = 9
"""Height of the small output in pixels; it is wider by two."""


def trial_of_convolution(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Trial:
    """Return the trial of one call of :func:`vrtspike.ops.deform_conv2d`."""
    inputs = (x, offset, mask, weight, bias)
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)

    def small(backend: Backend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        converted = [None if t is None else convert(t) for t in _small_inputs(inputs, padding)]
        return values_and_gradients(lambda *t: backend.run(*t, padding=padding), converted, trains=trains)

    def real(backend: Backend) -> None:
        detached = [None if t is None else t.detach() for t in inputs]
        values_and_gradients(lambda *t: backend.run(*t, padding=padding), detached, trains=trains)

    return Trial(_shape(x, mask, weight), x.device, computes_in(x), trains, small, real)


def _shape(x: Tensor, mask: Tensor, weight: Tensor) -> str:
    """Return the class of a call's shape: the number of pixels counts in powers of two."""
    side, pixels = weight.shape[-1], mask.shape[0] * mask.shape[2] * mask.shape[3]
    channels = f'{x.shape[1]} to {weight.shape[0]} channels in {x.shape[1] // weight.shape[1]} groups'
    displaced = f'{mask.shape[1] // side**2} deformable groups'
    return f'{channels}, {displaced}, kernel {side}, up to {1 << (pixels - 1).bit_length()} pixels'


def _small_inputs(inputs: tuple[Tensor | None, ...], padding: int) -> list[Tensor | None]:
    """Return random inputs for a small map, of the types of ``inputs``.

    Taps sample a quarter to three quarters of the way between two pixels: on a pixel, derivatives by the position jump.
    """
    x, offset, mask, weight, bias = inputs
    generator = torch.Generator().manual_seed(0)
    height, width = SIDE, SIDE + 2
    grow = weight.shape[-1] - 1 - 2 * padding

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device='cpu')

    steps = torch.randint(-2, 2, (1, offset.shape[1], height, width), generator=generator, device='cpu')
    between = torch.rand(1, offset.shape[1], height, width, generator=generator, device='cpu') / 2 + 0.25
    made = (
        random(1, x.shape[1], height + grow, width + grow),
        steps + between,
        random(1, mask.shape[1], height, width),
        random(*weight.shape),
        None if bias is None else random(*bias.shape),
    )
    return [None if new is None else new.to(old.device, old.dtype) for new, old in zip(made, inputs, strict=True)]
