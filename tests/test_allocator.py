"""What the kernel has to do for tensors that take the place of freed ones."""

import os
import subprocess
import sys

import pytest

COUNT = """
import resource
import torch
from vrtspike.allocator import keep_freed_memory
print(keep_freed_memory())
def faults_of_128_mib():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(1 << 27, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sum([faults_of_128_mib() for _ in range(32)][-8:]))
"""
"""Prints whether freed memory is kept, and the page faults of the last 8 of 32 tensors one after the other."""


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
