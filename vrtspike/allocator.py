"""Freed memory kept for the next tensor: on CPUs, large tensors otherwise wait for the kernel to zero their pages."""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""
KEPT_BYTES, LARGEST_KEPT_BYTES = 1 << 30, 1 << 28
CHOICES_OF_THE_USER = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_MMAP_MAX_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc keep up to 1 GiB of freed blocks of up to 256 MiB each for reuse, in this process and those it forks.

    By default it gives blocks of more than 32 MiB back as soon as they are free and gets others for the next tensor,
    page by page. Does nothing, and returns False, where the C library is another one or the environment sets any of
    :data:`CHOICES_OF_THE_USER`.
    """
    if sys.platform != 'linux' or any(name in os.environ for name in CHOICES_OF_THE_USER):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_BYTES))
