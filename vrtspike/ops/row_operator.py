"""The backends that operators on rows (M, C) have in common."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from torch import Tensor

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Operator, PairBackend


def row_operator(
    name: str,
    reference: Callable[..., Tensor],
    native: ModuleType,
    triton: Callable[..., Tensor],
    pair: Callable[..., tuple[Tensor, Tensor]],
) -> Operator:
    """Return an operator with a C++ kernel for inference on CPUs, Triton kernels and PyTorch, in this order.

    Args:
        name: Of the operator.
        reference: Computes it by operators of PyTorch.
        native: The module of the C++ kernel: ``native()``, ``DTYPES`` and ``missing()``.
        triton: Computes it by Triton kernels.
        pair: Of the Triton kernels, see :class:`~vrtspike.ops.backends.PairBackend`.
    """
    return Operator(
        name,
        (
            PairBackend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
            PairBackend('triton', triton, pair=pair, **triton_support.SERVES),
            PairBackend('pytorch', reference),  # what trials compare with: they leave the reference out
            PairBackend('reference', reference),
        ),
    )
