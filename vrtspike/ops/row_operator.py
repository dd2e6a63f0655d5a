"""The backends that operators on rows (M, C) have in common."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from torch import Tensor

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Operator, PairBackend

Runs = tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, Tensor]] | None]
"""What computes the operator, and what computes it with a second result, see
:class:`~vrtspike.ops.backends.PairBackend`."""


def row_operator(
    name: str, reference: Callable[..., Tensor], compiled: ModuleType, native: Runs, triton: Runs
) -> Operator:
    """Return an operator with C++ kernels on CPUs, Triton kernels and PyTorch, in this order.

    Args:
        name: Of the operator.
        reference: Computes it by operators of PyTorch.
        compiled: The module of the C++ kernels: ``DTYPES`` and ``missing()``.
        native: Computes it by the C++ kernels.
        triton: Computes it by Triton kernels.
    """
    (native_run, native_pair), (triton_run, triton_pair) = native, triton
    return Operator(
        name,
        (
            PairBackend('native', native_run, ('cpu',), compiled.DTYPES, missing=compiled.missing, pair=native_pair),
            PairBackend('triton', triton_run, pair=triton_pair, **triton_support.SERVES),
            PairBackend('pytorch', reference),  # what trials compare with: they leave the reference out
            PairBackend('reference', reference),
        ),
    )
