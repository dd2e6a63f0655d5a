"""Peak memory of a process without a GPU."""

import subprocess
import sys

import pytest
import torch

from vrtspike.profiling.memory import peak_memory_mib

PRINT_PEAK = 'from vrtspike.profiling.memory import peak_memory_mib; print(peak_memory_mib())'


@pytest.mark.skipif(torch.cuda.is_available(), reason='measures resident memory, which GPUs have no use for')
def test_it_is_the_process_own_and_not_that_of_its_parent():
    def of_child():
        return float(subprocess.run([sys.executable, '-c', PRINT_PEAK], capture_output=True, text=True).stdout)

    alone = of_child()
    held = torch.ones(int(2 * alone) * 2**18)  # twice what the child needs
    assert peak_memory_mib() > 2 * alone
    assert of_child() == pytest.approx(alone, rel=0.2)
    assert held.numel()
