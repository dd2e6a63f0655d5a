"""The backends of layer normalisation in the order of preference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.reference import reference


@dataclass(frozen=True)
class NormBackend(Backend):
    """A backend of layer normalisation.

    Args:
        beside: Like ``run``, but returns the rows themselves first, and one kernel adds the gradients of both results;
            None if the backend has no such kernel.
    """

    beside: Callable[..., tuple[Tensor, Tensor]] | None = None


LAYER_NORM = Operator(
    'layer_norm',
    (
        NormBackend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        NormBackend('triton', on_gpu.on_gpu, beside=on_gpu.on_gpu_beside, **triton_support.SERVES),
        NormBackend('pytorch', reference),  # what trials compare with: they leave the reference out
        NormBackend('reference', reference),
    ),
)
