"""Attention on CPUs whose backward pass computes the scores anew, a few windows at a time.

Between the passes only queries, keys and values are kept. Scores and probabilities live in blocks that fit a core's
cache, in float32 where the inputs are half precision.

Shapes: q, k, v (windows, heads, N, channels per head); added to the scores (1, heads or 1, N, N).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

BLOCK_SCORES = 2**18
"""Scores in one block: 1 MiB of float32, about a core's second-level cache."""


def blockwise_attention(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    """Return ``softmax(scale * q @ k.T + added) @ v``, differentiable in all four tensors."""
    return _Blockwise.apply(q, k, v, added, scale)


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
        ctx.save_for_backward(q, k, v, added)
        ctx.scale = scale
        with torch.autocast('cpu', enabled=False):
            wide = _wide(q.dtype)
            mask = None if added is None else added.to(wide)
            out = scaled_dot_product_attention(q.to(wide), k.to(wide), v.to(wide), attn_mask=mask, scale=scale)
        return out.to(q.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, added = ctx.saved_tensors
        n, heads, tokens, channels = q.shape
        grads = torch.empty(3, n, tokens, heads, channels, dtype=q.dtype).transpose(2, 3)
        wide = _wide(q.dtype)
        mask = None if added is None else added.detach().to(wide).expand(1, heads, -1, -1)
        bias_wanted = added is not None and ctx.needs_input_grad[3]
        grad_added = torch.zeros(heads, tokens, tokens, dtype=wide) if bias_wanted else None
        step = max(1, BLOCK_SCORES // (heads * tokens * tokens))
        for first in range(0, n, step):
            block = slice(first, first + step)
            parts = [part[block].to(wide) for part in (q, k, v, grad)]
            *found, grad_scores = _block_gradients(*parts, mask, ctx.scale)
            for target, part in zip(grads, found, strict=True):
                target[block] = part
            if grad_added is not None:
                grad_added += grad_scores.sum(0)
        if grad_added is not None:
            grad_added = grad_added[None].sum_to_size(added.shape).to(added.dtype)
        return (*grads, grad_added, None)


def _block_gradients(
    q: Tensor, k: Tensor, v: Tensor, grad: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of q, k, v and the scores of a few windows."""
    q = q * scale
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores += mask
    probabilities = scores.softmax(-1)
    grad_probabilities = grad @ v.transpose(-2, -1)
    grad_scores = torch._softmax_backward_data(grad_probabilities, probabilities, -1, probabilities.dtype)
    grad_v = probabilities.transpose(-2, -1) @ grad
    return (grad_scores @ k).mul_(scale), grad_scores.transpose(-2, -1) @ q, grad_v, grad_scores


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
