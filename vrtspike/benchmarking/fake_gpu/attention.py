"""Runs PyTorch's ``scaled_dot_product_attention`` on fake tensors with the kernel that a GPU would choose.

On a CPU build the operator itself cannot choose, because the choice asks the GPU.
"""

from __future__ import annotations

import warnings
from collections import Counter

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.sdpa_rules import HOPPER, AttentionCall, Gpu, Kernel, priority, refusal

aten = torch.ops.aten

H100 = Gpu(HOPPER, (2, 13), 92000)
MAX_CUDNN_BATCH = 65_535
MASK_ALIGNMENT = 16
"""The memory-efficient kernel wants rows of the mask at multiples of this many elements."""


class ChosenAttention:
    """A context in which ``scaled_dot_product_attention`` runs as the kernels that a GPU would choose.

    It is replaced in PyTorch's dispatcher, below autocast, so the backward pass and its recomputation use it too.

    Args:
        device: The backend whose attention is replaced, by its name in the dispatcher.

    Attributes:
        choices: Calls by what decided: the kernel, the type, the channels of a head, and the mask.
    """

    def __init__(self, device: str = 'CUDA') -> None:
        self.device = device
        self.choices: Counter[str] = Counter()

    def __enter__(self) -> ChosenAttention:
        self._library = torch.library.Library('aten', 'IMPL')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # PyTorch warns that its own implementation is overridden
            self._library.impl('scaled_dot_product_attention', self._attend, f'Autograd{self.device}')
        return self

    def __exit__(self, *exception: object) -> None:
        self._library._destroy()

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Attend as PyTorch would. Dropout and causal masks, which this package does not use here, are left out."""
        trained = attn_mask is not None and attn_mask.requires_grad
        kernel = kernel_of(q, attn_mask, trained)
        described = 'no mask' if attn_mask is None else 'mask with gradient' if trained else 'mask'
        dtype = str(q.dtype).removeprefix('torch.')
        self.choices[f'{kernel.name.lower()}: {dtype}, {q.shape[-1]} channels, {described}'] += 1
        return KERNELS[kernel](q, k, v, attn_mask, q.shape[-1] ** -0.5 if scale is None else scale)


def kernel_of(q: Tensor, mask: Tensor | None, trained_mask: bool) -> Kernel:
    """Return the kernel that PyTorch chooses on an H100 among those that ``sdpa_kernel`` allows.

    Args:
        q: Queries (batch, heads, N, channels per head).
        mask: What is added to the scores, if anything.
        trained_mask: Whether the mask needs a gradient.
    """
    call = AttentionCall(q.dtype, q.shape[-1], q.shape[-2], mask is not None, trained_mask, q.requires_grad)
    allowed = {
        Kernel.CUDNN: torch.backends.cuda.cudnn_sdp_enabled() and len(q) <= MAX_CUDNN_BATCH,
        Kernel.FLASH: torch.backends.cuda.flash_sdp_enabled(),
        Kernel.EFFICIENT: torch.backends.cuda.mem_efficient_sdp_enabled(),
        Kernel.MATH: True,
    }
    return next(kernel for kernel in priority(H100) if allowed[kernel] and refusal(kernel, call, H100) is None)


def _cudnn(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    return aten._scaled_dot_product_cudnn_attention(q, k, v, mask, True, scale=scale)[0]


def _flash(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    channels = q.shape[-1]
    q, k, v = (F.pad(x, (0, -channels % 8)) if channels % 8 else x for x in (q, k, v))
    return aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[0][..., :channels]


def _efficient(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    if mask is not None:
        keys = mask.shape[-1]
        mask = F.pad(mask, (0, -keys % MASK_ALIGNMENT))[..., :keys] if keys % MASK_ALIGNMENT else mask
        mask = mask.expand(*q.shape[:3], keys)
    return aten._scaled_dot_product_efficient_attention(q, k, v, mask, True, scale=scale)[0]


def _math(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    scores = (q.float() * scale**0.5) @ (k.float() * scale**0.5).transpose(-2, -1)
    scores = scores if mask is None else scores + mask
    return (scores.softmax(-1) @ v.float()).to(q.dtype)


KERNELS = {Kernel.CUDNN: _cudnn, Kernel.FLASH: _flash, Kernel.EFFICIENT: _efficient, Kernel.MATH: _math}
