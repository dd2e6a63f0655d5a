"""Calls of functions in our compiled sources: their names by type, and the addresses of tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor


def function_for(library: ctypes.CDLL, name: str, *dtypes: torch.dtype) -> Callable[..., None]:
    """Return the function ``name`` of a library for tensors of these types, as ``forward_bfloat16_float32``."""
    function = getattr(library, '_'.join([name, *(str(dtype).removeprefix('torch.') for dtype in dtypes)]))
    function.restype = None
    return function


def pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    """Return the addresses of tensors, null for None. The caller keeps the tensors alive during the call."""
    return [ctypes.c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]


def int64_array(numbers: tuple[int, ...]) -> ctypes.Array:
    """Return numbers as an array of C."""
    return (ctypes.c_int64 * len(numbers))(*numbers)


def threads() -> ctypes.c_int:
    """Return how many threads PyTorch computes with."""
    return ctypes.c_int(torch.get_num_threads())
