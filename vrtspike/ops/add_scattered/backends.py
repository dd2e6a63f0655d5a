"""The backends of the sum in the order of preference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vrtspike.ops import triton_support
from vrtspike.ops.add_scattered import native, on_gpu
from vrtspike.ops.add_scattered.reference import reference
from vrtspike.ops.backends import Backend, Operator


@dataclass(frozen=True)
class AddBackend(Backend):
    """A backend of the sum.

    Args:
        normed: ``normed(x, chunks, order, scale, bias, norm)`` returns the sum and its normalised rows from one kernel.
            None: the backend has no such kernel.
    """

    normed: Callable[..., tuple[Tensor, Tensor]] | None = None


ADD_SCATTERED = Operator(
    'add_scattered',
    (
        AddBackend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        AddBackend('triton', on_gpu.on_gpu, normed=on_gpu.on_gpu_normed, **triton_support.SERVES),
        AddBackend('pytorch', reference),  # what trials compare with: they leave the reference out
        AddBackend('reference', reference),
    ),
)
