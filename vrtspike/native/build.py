"""Compiles the C++ sources of this project on the machine that runs them, once for each type of processor.

Why not torch.utils.cpp_extension: it needs ninja and Python's headers, and its cache does not distinguish processors,
as code compiled with ``-march=native`` requires. Our sources are plain C functions with few of PyTorch's headers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import torch

from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.device import cache_folder

FLAGS = ('-O3', '-march=native', '-std=c++17', '-fPIC')
OPENMP = '-fopenmp'
"""For the compiler only, not for the linker. Calls resolve to PyTorch's own OpenMP library, so that loops run on
PyTorch's threads."""

PYTORCH = Path(torch.__file__).parent
"""Sources may include its core headers."""

HEADERS = Path(__file__).with_name('include')
"""What our sources share."""

SECONDS = 300


class Kernel(NamedTuple):
    """A C++ source and the macros that it is compiled with, such as ``WIDTH=16``."""

    source: Path
    macros: tuple[str, ...] = ()


class CannotCompile(Exception):
    """A source cannot be compiled, or its library cannot be loaded, on this machine. The message says why."""


@cache
def library(source: Path, *macros: str) -> ctypes.CDLL:
    """Return the library of a C++ source; see :func:`compiled`.

    Raises:
        CannotCompile: It cannot be compiled or loaded.
    """
    kernel = Kernel(source, macros)
    path = _started[kernel].result() if kernel in _started else compiled(source, *macros)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CannotCompile(f'could not be compiled or loaded: {error}') from error


@cache
def why_missing(source: Path, *macros: str) -> str | None:
    """Return why a library cannot be used here, or None. The first call compiles it, which may take seconds."""
    try:
        library(source, *macros)
    except CannotCompile as error:
        return str(error)
    return None


_started: dict[Kernel, Future[Path]] = {}
os.register_at_fork(after_in_child=_started.clear)  # a forked process has none of the threads


def compile_in_background(kernels: Iterable[Kernel]) -> None:
    """Start to compile what will soon be needed; :func:`library` then waits for it.

    The threads end with the process: an error elsewhere is not held up by the compiler.
    """
    for kernel in kernels:
        if kernel not in _started:
            _started[kernel] = Future()
            Thread(target=_fulfil, args=(_started[kernel], kernel), daemon=True).start()


def _fulfil(future: Future[Path], kernel: Kernel) -> None:
    try:
        future.set_result(compiled(kernel.source, *kernel.macros))
    except BaseException as error:  # else whoever needs the library would wait for ever
        future.set_exception(error)


def compiled(source: Path, *macros: str) -> Path:
    """Return the library of a C++ source, compiled with ``macros``, as a file. It is compiled once and then cached.

    The source may include headers that stand beside it, and those of ``include/``. The cache is
    :func:`~vrtspike.runtime.device.cache_folder`. ``$CXX`` names the compiler, ``g++`` by default: the sources use
    extensions of GCC.

    Raises:
        CannotCompile: There is no compiler, it failed, or the folder cannot be written.
    """
    if platform.system() != 'Linux':
        raise CannotCompile(f'compiles on Linux only, not on {platform.system()}')
    compiler = os.environ.get('CXX') or 'g++'
    if shutil.which(compiler) is None:
        raise CannotCompile(f"needs a C++ compiler: there is no '{compiler}'; install one, or name it in $CXX")
    try:
        path = cache_folder() / f'{source.stem}-{_fingerprint(source, compiler, *macros)}.so'
        if not path.is_file():
            with atomic_write(path) as aside:
                _compile(compiler, source, aside, *macros)
        return path
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        raise CannotCompile(f"could not be compiled: '{compiler}' said {lines[0] if lines else 'nothing'!r}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotCompile(f'could not be compiled or loaded: {error}') from error


def _compile(compiler: str, source: Path, path: Path, *macros: str) -> None:
    objects = path.with_suffix('.o')
    headers = ('-I', str(HEADERS), '-isystem', str(PYTORCH / 'include'))
    try:
        defined = [f'-D{macro}' for macro in macros]
        _call(compiler, *FLAGS, OPENMP, *defined, *headers, '-c', str(source), '-o', str(objects))
        _call(compiler, '-shared', str(objects), '-L', str(PYTORCH / 'lib'), '-lc10', '-o', str(path))
    finally:
        objects.unlink(missing_ok=True)


def _fingerprint(source: Path, compiler: str, *macros: str) -> str:
    """Return a hash of the sources, macros, compiler and processor: different machines may share a home folder."""
    headers = (*sorted(source.parent.glob('*.h')), *sorted(HEADERS.glob('*.h')))
    texts = [path.read_text(encoding='utf-8') for path in (source, *headers)]
    parts = (*texts, ' '.join((*FLAGS, *macros)), _call(compiler, '--version'), torch.__version__, _processor())
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Return the model and the instruction sets of the processor. psutil does not know them."""
    described = Path('/proc/cpuinfo').read_text(encoding='utf-8').split('\n\n', 1)[0].splitlines()
    lines = [line for line in described if line.startswith(('model name', 'flags', 'Features', 'CPU part'))]
    return '\n'.join([platform.machine(), *lines])


def _call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS).stdout
