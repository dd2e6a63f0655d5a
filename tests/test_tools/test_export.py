from pathlib import Path

import pytest
import torch
from tool_processes import run_tool

from vrtspike.config import load_config
from vrtspike.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vrt_spike_lite.py'
OPTIONS = {'model.backbone.embed_dims': [8] * 7, 'model.backbone.depths': [0] * 7, 'model.spike_encoder.channels': 4}


def run(*arguments, cwd):
    options = [f'{key}={value}'.replace(' ', '') for key, value in OPTIONS.items()]
    return run_tool('export', CONFIG, *arguments, '--cfg-options', *options, cwd=cwd)


@pytest.fixture
def restorer(tmp_path):
    model = MODELS.build(load_config(CONFIG, overrides=OPTIONS).model)
    torch.nn.init.normal_(model.backbone.conv_last.weight)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'net.pth')
    return model.eval()


@pytest.mark.slow
def test_a_network_with_spikes(restorer, tmp_path):
    process = run('net.pth', '--shape', 2, 16, 24, '--spike-size', 8, 12, '--out', 'net.pt2', cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith('wrote net.pt2 (')
    blur, spikes = torch.rand(1, 2, 3, 16, 24), torch.rand(1, 2, 8, 8, 12)
    program = torch.export.load(tmp_path / 'net.pt2').module()
    torch.testing.assert_close(program(blur, spikes), restorer(blur, spikes))


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({'params': {'conv_first.weight': torch.zeros(2)}}, tmp_path / 'other.pth')
    process = run('other.pth', '--shape', 1, 8, 8, '--out', 'net.pt2', cwd=tmp_path)
    assert process.returncode == 1
    assert 'does not fit the network. Weights: ' in process.stderr
    assert not (tmp_path / 'net.pt2').exists()
