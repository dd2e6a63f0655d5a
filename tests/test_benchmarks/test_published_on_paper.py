"""The published code on paper, with ours in its place."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CLONE = """
import torch
from torchvision.ops import deform_conv2d

class WindowAttention: ...

class VRT(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 27, 3, padding=1)
        self.weight = torch.nn.Parameter(torch.ones(3, 3, 3, 3))

    def forward(self, clip):
        frames = clip.flatten(0, 1)
        predicted = self.first(frames).float()
        out = deform_conv2d(frames, predicted[:, :18], self.weight, padding=1, mask=predicted[:, 18:])
        return out.view_as(clip)
"""


@pytest.mark.skipif(shutil.which('g++') is None or bool(torch.version.cuda), reason='needs g++ and no GPU')
@pytest.mark.parametrize('options', [[], ['--fused']])
def test_a_clone_is_counted_as_it_trains(tmp_path, options):
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models/network_vrt.py').write_text(CLONE, encoding='utf-8')
    out = tmp_path / 'step.json'
    command = ['benchmarks/published_on_paper.py', '--upstream', tmp_path, '--shape', '1', '2', '8', '8', '--json', out]
    done = subprocess.run([sys.executable, *command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    step = json.loads(out.read_text(encoding='utf-8'))['step']
    operators = {name: cost['launches'] for name, cost in step['operators'].items()}
    assert operators['fused_deform_conv2d'] == operators['fused_deform_conv2d_backward_samples'] == 1
    assert (operators['convolution'], operators['convolution_backward']) == (2, 4)
    assert step['precision'] == ('bfloat16' if options else 'float32')
    assert (step['total']['casts'] > 0) == bool(options)
    assert step['host_operations'] == {'add_': 3}  # Adam counts the steps of three weights
