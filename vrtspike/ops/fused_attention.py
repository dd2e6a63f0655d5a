"""PyTorch's fused attention, kept on its fused kernels and off those that are wrong (see ``sdpa_rules.py``)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from vrtspike.ops.sdpa_rules import (
    HOPPER,
    WRONG_SINCE_TORCH,
    AttentionCall,
    Gpu,
    Kernel,
    aligned,
    kernel_of,
    misses_statistics,
    priority,
    refusal,
    wrong_gradient,
)

STRICTEST = Gpu(HOPPER, WRONG_SINCE_TORCH, 92000)
"""Assumed where there is no device to ask: in compiled graphs and for fake tensors."""

WITHOUT_CUDNN = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""For calls with a mask, which the flash kernel does not take."""

kernels: dict[str, str] = {}
"""For logs: the kernels that ran on GPUs so far and why, by type, heads, tokens and mask."""


def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, *, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """Return softmax(q kᵀ · scale + added) v with ``scaled_dot_product_attention``.

    On NVIDIA GPUs, heads are padded with channels of zeros to a width that fused kernels take, which changes no value,
    and kernels whose gradients are known to be wrong are not used.

    Args:
        q: Queries (batch, heads, N, D).
        k: Keys, of the same shape.
        v: Values, of the same shape.
        added: Added to the scores: (N, N), or with further axes that broadcast; None for nothing.
        scale: Factor on the scores; None is 1/sqrt(D).
        dropout: Probability that an attention weight is dropped.

    Returns:
        The attended values (batch, heads, N, D).
    """
    if q.device.type != 'cuda' or torch.version.hip:  # the rules are those of NVIDIA's kernels
        return F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale, dropout_p=dropout)
    return attend_on_gpu(q, k, v, added, gpu_of(q.device), scale=scale, dropout=dropout)


def attend_on_gpu(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, gpu: Gpu, *, scale: float | None, dropout: float
) -> Tensor:
    """Compute :func:`fused_attention` as suits ``gpu``."""
    head_dim = q.shape[-1]
    scale = head_dim**-0.5 if scale is None else scale
    q, k, v = (pad_channels(x) for x in (q, k, v))
    call = call_of(q, k, v, added)
    kernel = kernel_of(call, gpu)
    if not torch.compiler.is_compiling():
        _record(call, gpu)
    if misses_statistics(kernel, call):
        q = _NeedsGradient.apply(q, added)
    with _allowed(kernel, call, gpu):
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale, dropout_p=dropout)
    return out[..., :head_dim]


def gpu_of(device: torch.device) -> Gpu:
    """Return the GPU and the versions in use, or :data:`STRICTEST`."""
    return STRICTEST if torch.compiler.is_compiling() else _present_gpu(device)


@cache
def _present_gpu(device: torch.device) -> Gpu:
    if not torch.cuda.is_available():
        return STRICTEST
    release = tuple(int(part) for part in torch.__version__.split('.')[:2])
    return Gpu(torch.cuda.get_device_capability(device), release, torch.backends.cudnn.version() or 0)


def computes_in(x: Tensor) -> torch.dtype:
    """Return the type in which attention computes for ``x``: under autocast, the one it casts to."""
    device = x.device.type
    if x.dtype is not torch.float64 and not x.is_meta and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype


def pad_channels(x: Tensor) -> Tensor:
    """Return ``x`` (..., D) with channels of zeros up to a width that fused kernels take."""
    missing = aligned(x.shape[-1], computes_in(x)) - x.shape[-1]
    return F.pad(x, (0, missing)) if missing else x


def call_of(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None) -> AttentionCall:
    """Return what PyTorch's choice depends on in a call."""
    trains = torch.is_grad_enabled()
    return AttentionCall(
        computes_in(q),
        q.shape[-1],
        q.shape[-2],
        mask=added is not None,
        mask_trained=trains and added is not None and added.requires_grad,
        trained=trains and any(x.requires_grad for x in (q, k, v)),
    )


class _NeedsGradient(torch.autograd.Function):
    """Queries that need a gradient where only the mask did, so that the forward pass saves what the mask's needs."""

    @staticmethod
    def forward(ctx, q: Tensor, added: Tensor) -> Tensor:
        return q.view_as(q)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, None]:
        return None, None


def _allowed(kernel: Kernel, call: AttentionCall, gpu: Gpu) -> AbstractContextManager:
    """Return a context without the kernel whose gradients would be wrong; only cuDNN's ever are, with a mask."""
    return sdpa_kernel(WITHOUT_CUDNN) if wrong_gradient(kernel, call, gpu) else nullcontext()


def _record(call: AttentionCall, gpu: Gpu) -> None:
    """Record the kernel of a call, and why not those that PyTorch tries before, the first time that it is made."""
    mask = 'no mask' if not call.mask else 'mask with gradient' if call.mask_trained else 'mask'
    dtype = str(call.dtype).removeprefix('torch.')
    case = f'{dtype}, heads of {call.head_dim} channels with padding, {call.tokens} tokens, {mask}'
    if case in kernels:
        return
    reasons = []
    for kernel in priority(gpu):
        reason = refusal(kernel, call, gpu) or wrong_gradient(kernel, call, gpu)
        if reason is None:
            break
        reasons.append(f'{kernel.value} {reason}')
    kernels[case] = f'{kernel.value} kernel' + (f' ({"; ".join(reasons)})' if reasons else '')
