"""Freed memory for the next tensor, on CPUs.

Large tensors otherwise wait for the kernel to zero their pages, and leave holes that nothing fills.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name('malloc.cpp')

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
NEVER, LARGEST = -1, 2**31 - 1
"""A threshold that nothing reaches, and the largest that mallopt takes."""
CHOICES_OF_THE_USER = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_MMAP_MAX_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks of less than 2 GiB each for reuse, in this process and those it forks.

    By default it gives blocks of more than 32 MiB back as soon as they are free and gets others for the next tensor,
    page by page; a training step needs again what the one before it has freed, all of it. Does nothing, and returns
    False, where the C library is another one or the environment sets any of :data:`CHOICES_OF_THE_USER`.
    """
    if any(name in os.environ for name in CHOICES_OF_THE_USER):
        return False
    mallopt = _of_c_library('mallopt')
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


def give_freed_memory_back() -> None:
    """Give glibc's freed memory to the other processes of the machine, once."""
    trim = _of_c_library('malloc_trim')
    if trim is not None:
        trim(0)


def allocate_tensors_with_malloc() -> bool:
    """Let PyTorch get CPU tensors from malloc, which fills the holes of freed ones, from now on in this process.

    Its own way is posix_memalign, which in glibc before 2.38 does not: a training step of the released networks then
    holds a quarter more, and twice as much with checkpointing. Does nothing, and returns False, where there is a GPU,
    whose tensors are not the host's, and where ``malloc.cpp`` cannot be compiled.
    """
    import torch

    from vrtspike.native.build import CannotCompile, library

    if torch.cuda.is_available():
        return False
    try:
        library(SOURCE).install()
    except CannotCompile:
        return False
    return True


def _of_c_library(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None where it has none of that name: these are glibc's."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == 'linux' else None
