"""Lets a CPU build of PyTorch accept fake tensors on ``cuda:0``, in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import _foreach_utils

from vrtspike.errors import ConfigError
from vrtspike.native.build import PYTORCH, CannotCompile, compiled

SOURCE = Path(__file__).with_name('guard.cpp')
BEFORE_PYTORCH = ('libc10.so', 'libtorch_cpu.so')
"""Libraries of PyTorch that the guard uses; they are loaded before it."""
MARK = 'VRTSPIKE_FAKE_GPU'
"""Environment variable of a process that has the fake GPU. Its value is the LD_PRELOAD before."""

MEMORY = 80 * 10**9
"""Bytes of the fake GPU, all of them free: those of an H100."""


def fake_gpu_environment() -> dict[str, str]:
    """Return the environment for a Python process that has the fake GPU.

    Raises:
        ConfigError: This machine cannot have one: PyTorch is built for a real GPU, or there is no C++ compiler.
    """
    if torch.version.cuda or torch.version.hip:
        raise ConfigError('the fake GPU needs a CPU build of PyTorch, and this one is built for a GPU')
    try:
        guard = compiled(SOURCE)
    except CannotCompile as error:
        raise ConfigError(f'the fake GPU {error}') from error
    before = os.environ.get('LD_PRELOAD', '')
    folders = [str(PYTORCH / 'lib'), *filter(None, [os.environ.get('LD_LIBRARY_PATH')])]
    preload = ' '.join([*filter(None, [before]), *BEFORE_PYTORCH, str(guard)])
    return {**os.environ, 'LD_LIBRARY_PATH': ':'.join(folders), 'LD_PRELOAD': preload, MARK: before}


def has_fake_gpu() -> bool:
    """Return whether this process has the fake GPU."""
    return MARK in os.environ


def restart_with_fake_gpu() -> NoReturn:
    """Start this program again, with the same arguments and the fake GPU."""
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], fake_gpu_environment())


class FakeEvent:
    """An event of the fake GPU, which has always more to do."""

    def record(self, stream: object = None) -> None: ...

    def synchronize(self) -> None: ...

    def query(self) -> bool:
        return False


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make every new tensor a fake one, and let autocast and gradient scalers accept the fake GPU.

    Raises:
        ConfigError: This process has no fake GPU, see :func:`fake_gpu_environment`.
    """
    if not has_fake_gpu():
        raise ConfigError('this process has no fake GPU; start it with fake_gpu_environment()')
    os.environ['LD_PRELOAD'] = os.environ[MARK]  # not for compilers that this process starts
    with ExitStack() as stack:
        stack.enter_context(patch('torch.cuda.is_bf16_supported', lambda including_emulation=True: True))
        stack.enter_context(patch('torch.cuda.amp.common.amp_definitely_not_available', lambda: False))
        stack.enter_context(patch('torch.cuda.Event', FakeEvent))
        stack.enter_context(patch('torch.cuda.mem_get_info', lambda device=None: (MEMORY, MEMORY)))
        stack.enter_context(patch('torch.cuda.current_stream', lambda device=None: None))
        stack.enter_context(patch('vrtspike.runtime.readback.pinned_like', lambda x: torch.empty_like(x, device='cpu')))
        # PyTorch updates lists of tensors at once only if it knows their classes.
        stack.enter_context(
            patch.object(_foreach_utils, '_foreach_supported_types', [Tensor, nn.Parameter, FakeTensor])
        )
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=False))
        yield
