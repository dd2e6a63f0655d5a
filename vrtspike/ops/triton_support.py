"""What our Triton kernels share: where they run, and in which precision they multiply."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Return why the kernels cannot be used here, or None."""
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f'needs triton: {error}'
    return None


def devices() -> tuple[str, ...]:
    """Return the devices that the kernels run on; CPUs only in Triton's interpreter, for tests."""
    return ('cuda', 'cpu') if interpreted() else ('cuda',)


def interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter."""
    return os.environ.get('TRITON_INTERPRET') == '1'


SERVES = dict(devices=devices(), dtypes=DTYPES, missing=missing)
"""What a :class:`~vrtspike.ops.backends.Backend` of our kernels supports, as its arguments."""


def precision_of(x: Tensor) -> str:
    """Return how products are computed. Three TF32 products have float32's accuracy, on tensor cores of NVIDIA."""
    if x.dtype is not torch.float32 or torch.version.hip:
        return 'ieee'
    return 'tf32' if x.device.type == 'cuda' and torch.backends.cuda.matmul.allow_tf32 else 'tf32x3'


def rounded_to(dtype: torch.dtype) -> Any:
    """Return Triton's name of the type to which factors of products are rounded."""
    import triton.language as tl

    return getattr(tl, str(dtype).removeprefix('torch.'))


def in_triton(constants: NamedTuple) -> NamedTuple:
    """Return constants whose fields kernels can read.

    Triton 3.6 would take the fields of plain ones for numbers at run time; its interpreter computes with plain ones.
    """
    if interpreted():
        return constants
    from triton.language import constexpr

    return type(constants)(*map(constexpr, constants))
