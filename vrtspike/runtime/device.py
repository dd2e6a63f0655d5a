"""The machine: cores, free and used memory, time that includes a GPU's work, and the folder for cached files.

Functions that need torch import it themselves: packages that work without torch use :data:`MIB`,
:func:`usable_cores` and :func:`cache_folder`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

MIB = 2**20


def chosen_device(name: torch.device | str | None = None) -> torch.device:
    """Return the named device; without a name, a GPU if there is one."""
    import torch

    return torch.device(name or ('cuda' if torch.cuda.is_available() else 'cpu'))


def in_graph() -> bool:
    """Return whether a compiler or tracer records what runs.

    Compilers fuse operators themselves, and tracers cannot see into ours.
    """
    import torch

    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def fuses_by_hand(x: torch.Tensor) -> bool:
    """Return whether other operators than PyTorch's should save launches for ``x``: on GPUs, outside of graphs."""
    return x.is_cuda and not in_graph()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def free_memory(device: torch.device) -> int:
    """Return how many bytes can still be allocated on ``device``.

    On a GPU this includes what PyTorch's allocator has reserved and does not use. On a CPU it is the memory that the
    system can provide without swapping.
    """
    if device.type == 'cuda':
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return psutil.virtual_memory().available


def used_memory(device: torch.device) -> int:
    """Return the bytes in use now: allocated on the GPU, or resident in this process."""
    if device.type == 'cuda':
        import torch

        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def peak_memory(device: torch.device) -> int:
    """Return the most bytes in use since :func:`reset_peak_memory`, or since the process began.

    Raises:
        OSError: The system does not report it.
    """
    if device.type == 'cuda':
        import torch

        return torch.cuda.max_memory_allocated(device)
    return peak_resident_memory()


def reset_peak_memory(device: torch.device) -> None:
    """Forget the peak so far, so that :func:`peak_memory` starts from the memory in use now.

    Raises:
        OSError: The system cannot do this. For memory of the CPU only Linux can.
    """
    if device.type == 'cuda':
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path('/proc/self/clear_refs').write_text('5')  # psutil has no such call; 5 resets VmHWM, see proc(5)


def peak_resident_memory() -> int:
    """Return the most bytes that were resident in this process.

    Raises:
        OSError: The system does not report it.
    """
    with suppress(OSError, StopIteration):
        # psutil has no peak on Linux, and ru_maxrss starts at the parent's memory when it started this process.
        lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM:')) * 2**10
    try:
        import resource
    except ImportError as error:  # Windows
        raise OSError('the peak of resident memory is not known on this system') from error
    unit = 1 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == 'cuda':
        import torch

        torch.cuda.synchronize(device)


def allow_matmul_tf32(allowed: bool) -> None:
    """Let float32 matrix products on GPUs compute in TF32, in this process, or forbid it. CPUs are not affected."""
    import torch

    # Not the newer ``fp32_precision``: after it is set, PyTorch and its compiler fail where they read this one.
    torch.backends.cuda.matmul.allow_tf32 = allowed


def call_seconds(function: Callable[[], object], device: torch.device) -> float:
    """Return how many seconds a call took, including the device's work."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def processor_seconds(function: Callable[[], object]) -> float:
    """Return the processor time of a call in seconds, all threads together. Other processes disturb it little."""
    start = time.process_time()
    function()
    return time.process_time() - start


def cache_folder() -> Path:
    """Return the folder for files that are kept between runs: ``vrtspike`` in the user's cache folder.

    Raises:
        OSError: The user has no home folder, like an unknown user in a container.
    """
    folder = os.path.expanduser(os.environ.get('XDG_CACHE_HOME') or '~/.cache')
    if folder.startswith('~'):
        raise OSError('there is no home folder for cached files; set XDG_CACHE_HOME to a folder')
    return Path(folder) / 'vrtspike'
