"""What the kernel has to do for tensors that take the place of freed ones."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest
import torch

from vrtspike.native.allocator import allocate_tensors_with_malloc
from vrtspike.native.build import library

needs_compiler = pytest.mark.skipif(
    shutil.which('g++') is None or torch.cuda.is_available(), reason='needs g++, and to be where CPUs compute'
)

COUNT = """
import ctypes, resource
from vrtspike.native.allocator import keep_freed_memory
print(keep_freed_memory())
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def faults_of_64_mib():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(1 << 26)
    libc.memset(block, 1, 1 << 26)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sum([faults_of_64_mib() for _ in range(16)][-8:]))
"""
"""Prints whether freed memory is kept, and the page faults of the last 8 of 16 blocks one after the other.

The blocks come from malloc, as PyTorch's posix_memalign needs a number of rounds that differs from run to run before it
finds a freed block again.
"""


@cache
def count(**environment):
    done = subprocess.run(
        [sys.executable, '-c', COUNT], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    kept, faults = done.stdout.split()
    return kept == 'True', int(faults)


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc')
def test_freed_memory_is_used_again_unless_the_environment_chooses():
    kept, faults = count()
    if not kept:
        pytest.skip('the C library is not glibc, or the environment has chosen')
    kept, faults_otherwise = count(MALLOC_MMAP_THRESHOLD_='1048576')
    assert not kept
    assert faults < faults_otherwise / 2


GIVEN_BACK = """
import gc, torch
from vrtspike.native.allocator import give_freed_memory_back, keep_freed_memory
from vrtspike.runtime.device import MIB, used_memory
keep_freed_memory()
def resident_mib():
    return used_memory(torch.device('cpu')) / MIB
gc.disable()
cycle = [torch.ones(1 << 26, dtype=torch.uint8)]
cycle.append(cycle)
torch.ones(1 << 26, dtype=torch.uint8)
del cycle
kept = resident_mib()
give_freed_memory_back()
print(kept - resident_mib())
"""
"""Prints how many of 128 MiB, half of them freed and half of them unreachable, stayed resident until given back."""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc')
def test_freed_memory_is_given_back_when_asked_to():
    if not count()[0]:
        pytest.skip('the C library is not glibc, or the environment has chosen')
    done = subprocess.run([sys.executable, '-c', GIVEN_BACK], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 120


HOLES = """
import torch
from vrtspike.native.allocator import allocate_tensors_with_malloc, keep_freed_memory
from vrtspike.profiling.memory import peak_memory_mib
keep_freed_memory()
INSTALL
MIB = 1 << 20
CPU = torch.device("cpu")
before = peak_memory_mib(CPU)
for _ in range(8):
    freed, kept = [], []
    for _ in range(16):
        freed.append(torch.ones(4 * MIB, dtype=torch.uint8))
        kept.append(torch.ones(MIB // 2, dtype=torch.uint8))
    freed.clear()
    again = [torch.ones(4 * MIB, dtype=torch.uint8) for _ in range(16)]
print(peak_memory_mib(CPU) - before)
"""
"""Prints by how many MiB the peak grew: of 136 MiB of tensors at a time, most are freed and made again among others."""


def growth(install):
    done = subprocess.run(
        [sys.executable, '-c', HOLES.replace('INSTALL', install)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@needs_compiler
def test_tensors_fill_the_holes_of_freed_ones():
    assert growth('assert allocate_tensors_with_malloc()') < 150


KEPT = """
import torch
from vrtspike.native.allocator import allocate_tensors_with_malloc, give_freed_memory_back
from vrtspike.runtime.device import MIB, used_memory
assert allocate_tensors_with_malloc()
made = torch.empty(1000)
address = made.data_ptr()
del made
assert torch.empty(999, dtype=torch.float32).data_ptr() == address  # 4,032 bytes as well
assert torch.empty(1009).data_ptr() != address
def resident_mib():
    return used_memory(torch.device('cpu')) / MIB
made = [torch.ones(MIB, dtype=torch.uint8) for _ in range(100)]
full = resident_mib()
made.clear()
print(full - resident_mib())
give_freed_memory_back()
print(full - resident_mib())
assert (torch.ones(1000) == 1).all()
"""
"""Prints how many of 100 MiB of tensors are no longer resident when they are freed, and when given back."""


@needs_compiler
@pytest.mark.skipif(sys.platform != 'linux', reason='glibc')
def test_small_blocks_are_kept_by_their_size_within_a_limit():
    done = subprocess.run([sys.executable, '-c', KEPT], capture_output=True, text=True, check=True)
    freed, given_back = map(float, done.stdout.split())
    assert 100 - 64 <= freed < 45
    assert given_back > 95


FORKS = """
import os, threading, torch
from vrtspike.native.allocator import allocate_tensors_with_malloc
assert allocate_tensors_with_malloc()
stopped = threading.Event()
def busy():
    while not stopped.is_set():
        torch.empty(100)
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        torch.empty(100)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stopped.set()
"""


@needs_compiler
@pytest.mark.filterwarnings('ignore')
def test_processes_that_are_forked_while_threads_allocate_can_allocate():
    subprocess.run([sys.executable, '-c', FORKS], check=True, timeout=120)


TENSORS = """
import torch
from vrtspike.native.allocator import allocate_tensors_with_malloc
before = torch.arange(5)
assert allocate_tensors_with_malloc() and allocate_tensors_with_malloc()
for size in (0, 1, 15, 16, 17, 63, 64, 65, 1000, 10**6):
    made = torch.full((size,), 3.0)
    assert made.data_ptr() % 64 == 0 and (made == 3).all()
    made.resize_(2 * size + 1)
    assert (made[:size] == 3).all()
    made.fill_(4)
    assert torch.equal(made.clone(), made) and torch.equal(made.share_memory_(), made)
    assert torch.equal(torch.from_numpy(made.numpy()), made)
assert torch.equal(before, torch.arange(5))
with torch.profiler.profile(profile_memory=True) as profile:
    torch.empty(1 << 20)
assert '4.00 MB' in profile.key_averages().table(), profile.key_averages().table()
for bytes in (1 << 60, (1 << 63) - 1):
    try:
        torch.empty(bytes, dtype=torch.uint8)
    except RuntimeError as error:
        assert f"can't allocate memory: you tried to allocate {bytes} bytes" in str(error), error
    else:
        raise AssertionError(bytes)
"""


@needs_compiler
def test_tensors_are_as_before():
    subprocess.run([sys.executable, '-c', TENSORS], check=True)


def test_without_a_compiler_all_stays_as_it_was(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    library.cache_clear()
    assert not allocate_tensors_with_malloc()
    library.cache_clear()
