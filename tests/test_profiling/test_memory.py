import subprocess
import sys

import pytest
import torch

from vrtspike.profiling.memory import peak_memory_mib

GIB = 2**30
PEAK = 'from vrtspike.profiling.memory import peak_memory_mib; print(peak_memory_mib())'


@pytest.mark.skipif(torch.cuda.is_available(), reason="the peak is the GPU's")
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_the_peak_is_the_processs_own_and_not_that_of_its_parent():
    before = peak_memory_mib()
    held = bytearray(b'x') * GIB
    assert peak_memory_mib() >= len(held) / 2**20
    child = subprocess.run([sys.executable, '-c', PEAK], capture_output=True, text=True, check=True, timeout=120)
    del held
    assert 20 < float(child.stdout) < 1000
    assert peak_memory_mib() > before
