"""A process with the fake GPU. Tests that need one start it, because PyTorch looks for GPUs once."""

import shutil
import subprocess
import sys

import pytest
import torch

from vrtspike.benchmarking.fake_gpu import device
from vrtspike.benchmarking.fake_gpu.device import fake_gpu, fake_gpu_environment, has_fake_gpu
from vrtspike.errors import ConfigError
from vrtspike.native.build import CannotCompile

pytestmark = pytest.mark.skipif(
    shutil.which('g++') is None or bool(torch.version.cuda), reason='needs g++ and a CPU build of PyTorch'
)

PROGRAM = """
import os, torch
from vrtspike.benchmarking.fake_gpu.device import fake_gpu
with fake_gpu():
    assert 'guard' not in os.environ['LD_PRELOAD']
    layer = torch.nn.Linear(4, 4, device='cuda')
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    with torch.autocast('cuda', dtype=torch.bfloat16):
        out = layer(torch.empty(2, 4, device='cuda'))
    out.float().mean().backward()
    optimizer.step()
print(out.device, out.dtype, layer.weight.grad.device)
"""


def test_a_layer_trains_under_autocast():
    run = [sys.executable, '-c', PROGRAM]
    done = subprocess.run(run, capture_output=True, text=True, env=fake_gpu_environment(), timeout=300)
    assert done.stdout == 'cuda:0 torch.bfloat16 cuda:0\n', done.stderr


def test_this_process_has_none():
    assert not has_fake_gpu()
    with pytest.raises(ConfigError, match='start it with fake_gpu_environment'), fake_gpu():
        pass


def test_a_gpu_build_and_a_missing_compiler_are_explained(monkeypatch):
    def fail(source):
        raise CannotCompile('needs a C++ compiler')

    monkeypatch.setattr(device, 'compiled', fail)
    with pytest.raises(ConfigError, match=r'the fake GPU needs a C\+\+ compiler'):
        fake_gpu_environment()
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    with pytest.raises(ConfigError, match='needs a CPU build of PyTorch'):
        fake_gpu_environment()
