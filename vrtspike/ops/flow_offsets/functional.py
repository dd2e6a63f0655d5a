"""Offsets of a deformable convolution that follow optical flow (VRT, arXiv 2201.12288), and the masks of its taps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vrtspike.ops.backends import Backend, Request
from vrtspike.ops.flow_offsets.backends import FLOW_OFFSETS
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.trials import Trial
from vrtspike.runtime.device import in_graph

SMALL_SIZE = (7, 9)
"""Pixels of the small maps of trials."""


def flow_offsets(
    predicted: Tensor, flows: Tensor, max_residue: float, *, backend: str = 'auto'
) -> tuple[Tensor, Tensor]:
    """Return where the taps of a deformable convolution sample, and their masks.

    The offset of a tap is the flow of its neighbour plus ``max_residue * tanh(residue)``; its mask is ``sigmoid``.

    Args:
        predicted: Residues (y, x) of all taps, then their masks: (N, 3*taps, H, W).
        flows: Flows (x, y) to the neighbours (N, 2*neighbours, H, W) in pixels. Each neighbour has as many taps.
        max_residue: The largest residue in pixels.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.flow_offsets.backends.FLOW_OFFSETS`.

    Returns:
        Offsets (N, 2*taps, H, W) in pixels, y before x, at least in float32; masks (N, taps, H, W) of the type of
        ``predicted``. Only these and the flows are saved for the backward pass.

    Raises:
        ValueError: The shapes of the arguments do not fit together.
    """
    _check_shapes(predicted, flows)
    if in_graph():
        run = FLOW_OFFSETS.find('reference').run  # compilers fuse it themselves, and tracers see into it
    else:
        trial = trial_of(predicted, flows, max_residue) if measures(predicted) else None
        run = FLOW_OFFSETS.choose(predicted, Request(backend, trial)).run
    return run(predicted, flows, max_residue)


def trial_of(predicted: Tensor, flows: Tensor, max_residue: float) -> Trial:
    """Return the call on which the backends are compared; the number of pixels counts in powers of two."""
    trains = torch.is_grad_enabled() and (predicted.requires_grad or flows.requires_grad)
    pixels = max(1, predicted[:, 0].numel())
    taps, neighbours = predicted.shape[1] // 3, flows.shape[1] // 2
    shape = f'of {neighbours} x {taps // neighbours} taps, up to {1 << (pixels - 1).bit_length()} pixels'

    def small(chosen: Backend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        inputs = []
        for real_input in (predicted, flows):
            made = torch.randn(2, real_input.shape[1], *SMALL_SIZE, generator=generator, device='cpu')
            inputs.append(convert(made.to(real_input)))
        return _results(chosen, inputs, max_residue, trains=trains)

    def real(chosen: Backend) -> None:
        _results(chosen, [predicted.detach(), flows.detach()], max_residue, trains=trains)

    return Trial(shape, predicted.device, predicted.dtype, trains, small, real)


def _results(chosen: Backend, inputs: list[Tensor], max_residue: float, *, trains: bool) -> list[Tensor]:
    """Return offsets and masks and, if it ``trains``, the gradients of both inputs."""
    leaves = [each.requires_grad_(trains) for each in inputs]
    results = chosen.run(*leaves, max_residue)
    gradients = torch.autograd.grad(results, leaves, [each.detach() for each in results]) if trains else ()
    return [*(each.detach() for each in results), *gradients]


def _check_shapes(predicted: Tensor, flows: Tensor) -> None:
    taps, rest = divmod(predicted.shape[1], 3)
    neighbours, half = divmod(flows.shape[1], 2)
    if rest or half or not neighbours or taps % neighbours:
        raise ValueError(
            f'flow_offsets: {predicted.shape[1]} channels are not the residues and masks of the taps of as many '
            f'neighbours as {flows.shape[1]} channels of flow have'
        )
    if predicted.shape[::2] != flows.shape[::2] or predicted.shape[3] != flows.shape[3]:
        raise ValueError(f'flow_offsets: predictions {tuple(predicted.shape)} and flows {tuple(flows.shape)}')
