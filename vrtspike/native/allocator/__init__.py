"""Reuses freed memory for the next tensors, on CPUs.

Without this, the kernel zeroes the pages of every large tensor, and freed tensors leave holes that are never reused.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name('malloc.cpp')

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
NEVER, LARGEST = -1, 2**31 - 1
"""A threshold that is never reached, and the largest that mallopt accepts."""
USER_SETTINGS = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_MMAP_MAX_', 'GLIBC_TUNABLES')

installed: list[ctypes.CDLL] = []
"""The library of the allocator, once it is PyTorch's."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks of less than 2 GiB for reuse, in this process and those that it forks.

    By default glibc returns blocks of more than 32 MiB to the system as soon as they are free and requests new ones for
    the next tensor, page by page. But a training iteration needs all the memory that the previous one freed.
    Returns False and does nothing if the C library is not glibc or the environment sets one of :data:`USER_SETTINGS`.
    """
    if any(name in os.environ for name in USER_SETTINGS):
        return False
    mallopt = _libc_function('mallopt')
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


def give_freed_memory_back() -> None:
    """Give the memory of tensors that nobody uses back to the system, once: what glibc, and PyTorch on GPUs, keep."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    if installed:
        installed[0].give_back()
    trim = _libc_function('malloc_trim')
    if trim is not None:
        trim(0)


def allocate_tensors_with_malloc() -> bool:
    """Let PyTorch allocate CPU tensors with malloc in this process from now on.

    PyTorch uses posix_memalign, which in glibc before 2.38 does not reuse the holes of freed tensors. An iteration of
    the released networks then needs a quarter more memory, and twice as much with activation checkpointing. Freed
    blocks of up to a megabyte, 64 MiB in all, are kept by their size for the next tensors. Returns False and does
    nothing if there is a GPU, or if ``malloc.cpp`` cannot be compiled.
    """
    import torch

    from vrtspike.native.build import CannotCompile, library

    if torch.cuda.is_available():
        return False
    try:
        allocator = library(SOURCE)
    except CannotCompile:
        return False
    allocator.install()
    installed[:] = [allocator]
    return True


def _libc_function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc, or None if the C library is another one and lacks the function."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == 'linux' else None
